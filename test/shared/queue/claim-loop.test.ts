import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { ClaimLoop } from '#shared/queue/claim-loop.ts';
import { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { Verdict } from '#shared/queue/ticket-worker.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { until } from '../../harness/until.ts';

let server: RedisProcess;
let redis: Redis;
beforeAll(async () => {
  server = await RedisProcess.start();
  redis = server.connect();
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const newsWaitSeconds = 4;

test('a loop that has no place left does not keep the news of a ticket from the others', async () => {
  const id = { provider: 'p', pool: 'pool' };
  const queue = new PoolQueue(id, redis, systemClock);
  await queue.start();
  const options = {
    priority: 5,
    tokens: { input: 1, output: 1, max: 1 },
    deadlineMs: systemClock.nowMs() + 600_000,
  };
  const letGo: (() => void)[] = [];
  const loop = new ClaimLoop({
    id,
    workerId: 'w1',
    concurrency: 1,
    connection: redis,
    settings: settingsSchema.shape.workers.parse({}),
    clock: systemClock,
    telemetry: undefined,
    handle: () => new Promise<Verdict>((resolve) => letGo.push(() => resolve({ kind: 'done' }))),
    onError: (error) => expect(error).toBeUndefined(),
  });
  await loop.start();
  // It waits for the time of this one and for news at once.
  await queue.enqueue({ tenant: 't', job: 'later' }, { ...options, delayMs: 200 });
  await until('its only place is taken', () => letGo.length === 1);
  const other = redis.duplicate();
  const news = other.bzpopmin('sl:{p}:pool:marker', newsWaitSeconds);
  await queue.enqueue({ tenant: 't', job: 'next' }, { ...options, delayMs: 0 });
  expect(await news).not.toBeNull();
  other.disconnect();
  for (const job of [0, 1]) {
    await until('it is in hand', () => letGo.length > job);
    letGo[job]!();
  }
  await until('nothing is left', async () =>
    Object.values(await queue.counts()).every((count) => count === 0),
  );
  await loop.stop();
  await queue.stop();
});
