/**
 * What the end of a job costs Redis: time inside of the settle script per call, median of rounds, by how many users the
 * calls are told apart. Flushes that Redis.
 *
 * node loadtest/settle/main.ts redis://127.0.0.1:6379 [jobs] [rounds] [users] [--json]
 */
import { Redis } from 'ioredis';
import { settingsSchema } from '#config/schema.ts';
import { JobStore } from '#shared/jobs/job-store.ts';
import { newId } from '#shared/kernel/ids.ts';
import { median } from '../bench/percentile.ts';

const parameters = process.argv.slice(2).filter((each) => each !== '--json');
const [url = 'redis://127.0.0.1:6379', jobs = '2000', rounds = '5', users = '1'] = parameters;
const tenant = 'bench';
const redis = new Redis(url);
const store = new JobStore(redis, settingsSchema.shape.jobs.parse({}));
const place = { provider: 'openai', model: 'gpt-5-mini' };
const body = Buffer.from(JSON.stringify({ choices: [{ message: { content: 'x'.repeat(600) } }] }));

async function accept(jobId: string, user: string): Promise<void> {
  await store.accept({
    ...{ tenant, jobId, idempotency: undefined, goneJob: undefined, waiter: undefined, runAtMs: undefined },
    ...{ depthLimit: 1e9, deadlineMs: 60_000 },
    request: {
      ...place,
      ...{ endpoint: '/v1/chat/completions' as const, pool: 'chat', body: '{}', headers: {}, priority: 5 },
      ...{ delivery: 'retry' as const, metadata: {}, axes: { key: 'dev', user, feature: 'search' } },
      tokens: { input: 300, output: 100, max: 500, linear: 290 },
    },
  });
}

async function settle(jobId: string): Promise<void> {
  const attempt = { attempt: 1, credential: 'main', started_at: 1, duration_ms: 1, status: 200, result: 'x' };
  const head = {
    ...{ ...place, job: jobId, status: 200, contentType: 'application/json', headers: {}, error: null },
    ...{ state: 'succeeded' as const, attempts: 1, queueMs: 1, providerMs: 1, costNanoUsd: 275_000 },
  };
  const usage = { inputTokens: 300, outputTokens: 100 };
  await store.settle({ tenant, state: 'succeeded', head, body, usage, attempt });
}

/** Microseconds that Redis has spent in scripts. */
async function scriptUs(): Promise<number> {
  const stats = await redis.info('commandstats');
  return Number(/cmdstat_evalsha:calls=\d+,usec=(\d+)/.exec(stats)?.[1] ?? 0);
}

async function round(): Promise<number> {
  const ids = Array.from({ length: Number(jobs) }, () => newId('job'));
  for (const [index, id] of ids.entries()) await accept(id, `user ${index % Number(users)}`);
  const before = await scriptUs();
  for (const id of ids) await settle(id);
  return ((await scriptUs()) - before) / ids.length;
}

await redis.flushall();
const each: number[] = [];
for (let index = 0; index < Number(rounds); index++) each.push(await round());
redis.disconnect();
const result = {
  settleUs: median(each),
  lowestUs: Math.min(...each),
  users: Number(users),
  rounds: each.length,
};
console.log(process.argv.includes('--json') ? JSON.stringify(result) : result);
