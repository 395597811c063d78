import { settingsSchema } from '#config/schema.ts';
import { JobStore } from '#shared/jobs/job-store.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { chargesOf, encodeCharges } from '#shared/quotas/charges.ts';
import { openRedis, untilReady } from '#shared/redis/connection.ts';
import { percentile } from '../bench/percentile.ts';
import { Children } from '../cluster/children.ts';
import { RedisServer } from '../cluster/redis-server.ts';

/**
 * What quotas add to a call: the time that Redis spends in the scripts that accept, begin and settle it, the commands it
 * sends, and the time to say what it is charged, for callers with none, 1, 4 and 8 limits. Several rounds in turn; each
 * figure is the median of its rounds. The last line is JSON.
 */
const calls = 2_000;
const rounds = 5;
const users = 200;
const tenant = 'acme';
/** Ample: every call is admitted. */
const amount = 1_000_000_000;

const limits = [
  { requests: amount },
  { tokens: amount, window: '1h' },
  { requests: amount, per: ['key'] },
  { requests: amount, per: ['user'], window: '1d' },
  { tokens: amount, per: ['model'], algorithm: 'token_bucket' },
  { input_tokens: amount, per: ['feature'], calendar: true },
  { concurrency: amount, per: ['key', 'user'] },
];
const customerWith = (count: number) => ({
  keys: [{ id: 'dev', key: 'sk-load' }],
  limits: limits.slice(0, count),
  budgets: count > limits.length ? [{ usd: 1_000_000 }] : [],
});

interface Figures {
  compileMicroseconds: number;
  acceptMicroseconds: number;
  beginMicroseconds: number;
  settleMicroseconds: number;
  commandsPerCall: number;
}

const children = new Children();
const server = await RedisServer.start(children);
const { redis: redisSettings, jobs: jobSettings } = settingsSchema.parse({ providers: {}, customers: {} });
// A busy machine is no outage.
const patientMs = 60_000;
const patient = { ...redisSettings, command_timeout_ms: patientMs };
const redis = openRedis(server.url, patient, 'commands', 'quotas');
await untilReady(redis, patientMs);
const store = new JobStore(redis, jobSettings);

/** Commands that scripts were run with since the counts were reset, and what one took. */
async function scriptFigures(): Promise<{ calls: number; microseconds: number }> {
  const info = await redis.info('commandstats');
  const [, count, , each] = /cmdstat_evalsha:calls=(\d+),usec=(\d+),usec_per_call=([\d.]+)/.exec(info) ?? [];
  return { calls: Number(count ?? 0), microseconds: Number(each ?? 0) };
}

async function timed(
  step: (index: number) => Promise<unknown>,
): Promise<{ calls: number; microseconds: number }> {
  await redis.config('RESETSTAT');
  for (let from = 0; from < calls; from += 50)
    await Promise.all(Array.from({ length: 50 }, (_, index) => step(from + index)));
  return scriptFigures();
}

const head = (job: string) => ({
  ...{ job, state: 'succeeded' as const, status: 200, contentType: 'application/json', headers: {} },
  ...{ provider: 'p', model: 'm', error: null, attempts: 1, queueMs: 0, providerMs: 0, costNanoUsd: 1_000 },
});

async function measure(count: number): Promise<Figures> {
  await redis.flushall();
  const settings = settingsSchema.parse({ providers: {}, customers: { [tenant]: customerWith(count) } });
  const place = { provider: 'p', model: 'm' };
  const tokens = { input: 100, output: 50, max: 500, linear: 100 };
  const axesOf = (index: number) => ({ key: 'dev', user: `user${index % users}`, feature: 'search' });
  const compile = (index: number) => {
    const held = { input: 100, output: 500, isOpen: false, price: () => 1_000 };
    const call = { axes: axesOf(index), place, ...held };
    return encodeCharges(chargesOf(settings.customers, tenant, call), settings.quotas);
  };
  const startedMs = systemClock.monotonicMs();
  const texts = Array.from({ length: calls }, (_, index) => compile(index));
  const compileMicroseconds = ((systemClock.monotonicMs() - startedMs) / calls) * 1_000;
  const accept = await timed((index) =>
    store.accept({
      ...{ tenant, jobId: `job_${index}`, quotas: texts[index], depthLimit: calls + 1, deadlineMs: 600_000 },
      ...{ idempotency: undefined, goneJob: undefined, waiter: 'ingress', runAtMs: undefined },
      request: {
        ...{ endpoint: '/v1/chat/completions', pool: 'q', body: '{"model":"m"}', headers: {}, priority: 0 },
        ...{ delivery: 'retry', metadata: {}, axes: axesOf(index), tokens, ...place },
      },
    }),
  );
  const begin = await timed((index) =>
    store.begin({
      ...{
        tenant,
        jobId: `job_${index}`,
        token: 't',
        owner: 'w',
        place: { provider: 'p', pool: 'q' },
        mayTakeOver: true,
        mayRunSuspect: true,
      },
    }),
  );
  const settle = await timed((index) =>
    store.settle({
      ...{
        tenant,
        state: 'succeeded',
        head: head(`job_${index}`),
        body: Buffer.from('{}'),
        attempt: undefined,
      },
      usage: { inputTokens: 100, outputTokens: 40 },
    }),
  );
  return {
    compileMicroseconds,
    acceptMicroseconds: accept.microseconds,
    beginMicroseconds: begin.microseconds,
    settleMicroseconds: settle.microseconds,
    commandsPerCall: (accept.calls + begin.calls + settle.calls) / calls,
  };
}

const counts = [0, 1, 4, 8];
const measured = new Map<number, Figures[]>(counts.map((count) => [count, []]));
await measure(8);
for (let round = 0; round < rounds; round++)
  for (const count of counts) measured.get(count)!.push(await measure(count));

const results = counts.map((count) => {
  const median = (name: keyof Figures) => {
    const sorted = measured
      .get(count)!
      .map((figures) => figures[name])
      .toSorted((one, other) => one - other);
    return Math.round(percentile(sorted, 0.5) * 10) / 10;
  };
  return {
    limits: count,
    compileMicroseconds: median('compileMicroseconds'),
    acceptMicroseconds: median('acceptMicroseconds'),
    beginMicroseconds: median('beginMicroseconds'),
    settleMicroseconds: median('settleMicroseconds'),
    scriptsPerCall: median('commandsPerCall'),
  };
});
for (const result of results) console.error(JSON.stringify(result));
console.log(JSON.stringify({ calls, rounds, results }));
redis.disconnect();
await server.stop();
process.exit(0);
