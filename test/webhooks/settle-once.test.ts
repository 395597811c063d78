import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { type TerminalState, terminalStates } from '#shared/contracts/job.ts';
import { jobEvent, messageIdOf } from '#shared/contracts/webhook.ts';
import { JobStore } from '#shared/jobs/job-store.ts';
import { newId } from '#shared/kernel/ids.ts';
import { keys } from '#shared/redis/keys.ts';
import { holds } from '../harness/property.ts';
import { RedisProcess } from '../harness/redis-process.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const target = `we_${'1'.repeat(32)}`;
const request = {
  endpoint: '/v1/chat/completions' as const,
  model: 'm',
  provider: 'p',
  pool: 'q',
  body: '{}',
  headers: {},
  priority: 5,
  delivery: 'retry' as const,
  metadata: {},
  tokens: { input: 1, output: 1, max: 1, linear: 1 },
  axes: { key: 'test' },
  webhook: target,
};

async function acceptOne(store: JobStore, tenant: string): Promise<string> {
  const jobId = newId('job');
  await store.accept({
    ...{ tenant, jobId, request, depthLimit: 100, deadlineMs: 60_000 },
    ...{ idempotency: undefined, goneJob: undefined, waiter: undefined, runAtMs: undefined },
  });
  return jobId;
}

function settle(store: JobStore, tenant: string, job: string, state: TerminalState) {
  const head = {
    ...{ job, state, provider: 'p', model: 'm', status: 200, contentType: 'application/json' },
    ...{ headers: {}, error: null, attempts: 1, queueMs: 0, providerMs: 0 },
  };
  return store.settle({ tenant, state, head, body: Buffer.from('{}'), usage: undefined, attempt: undefined });
}

test('jobs that are settled any number of times, in any order and any way, are one message each', async () => {
  const store = new JobStore(redis, settingsSchema.shape.jobs.parse({}));
  const step = fc.record({ job: fc.nat(3), state: fc.constantFrom(...terminalStates) });
  let tenants = 0;
  const property = fc.asyncProperty(
    fc.array(step, { minLength: 1, maxLength: 40 }),
    fc.integer({ min: 1, max: 8 }),
    async (steps, together) => {
      const tenant = `tenant${tenants++}`;
      const jobs: string[] = [];
      for (let index = 0; index < 4; index++) jobs.push(await acceptOne(store, tenant));
      const ends = new Map<string, TerminalState>();
      for (let from = 0; from < steps.length; from += together) {
        const sent = steps.slice(from, from + together).map(async ({ job, state }) => {
          const id = jobs[job]!;
          if ((await settle(store, tenant, id, state)).kind === 'settled') ends.set(id, state);
        });
        await Promise.all(sent);
      }
      const asked = [...new Set(steps.map(({ job }) => jobs[job]!))].toSorted();
      expect([...ends.keys()].toSorted()).toEqual(asked);
      const outbox = await redis.zrange(keys.outbox(tenant), 0, '-1');
      expect(outbox.toSorted()).toEqual(asked.map(messageIdOf).toSorted());
      for (const [job, state] of ends)
        expect(await redis.hgetall(keys.webhookMessage(tenant, messageIdOf(job)))).toMatchObject({
          ...{ type: jobEvent[state], job, target },
        });
    },
  );
  await holds(60, property);
}, 60_000);
