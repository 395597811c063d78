import type { Redis } from 'ioredis';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { keys } from '#shared/redis/keys.ts';
import { RemovedPools } from '../../../services/worker/removed-pools.ts';
import { keepRegistered, redisNowMs } from '../../../services/worker/worker-register.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { testSettings } from '../../harness/test-settings.ts';

const forgetMs = 60_000;
const goneMs = 1_000;
const live = new LiveValue(
  testSettings('http://127.0.0.1:1', { workers: { forget_ms: forgetMs }, jobs: { pool_gone_ms: goneMs } }),
);
const presence = { host: 'another machine', pid: 1, startTicks: '1' };

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});
beforeEach(() => redis.flushall());

const keep = (workerId: string) => keepRegistered({ redis, workerId, presence, live });

test('a worker of another machine of which nothing was heard leaves the register; others stay', async () => {
  for (const worker of ['silent', 'heard', 'self']) await keep(worker);
  const nowMs = await redisNowMs(redis);
  await redis.zadd(keys.workersSeen(), nowMs - forgetMs - 1, 'silent', nowMs - forgetMs / 2, 'heard');
  await keep('self');
  expect((await redis.hkeys(keys.workers())).toSorted((one, two) => one.localeCompare(two))).toEqual([
    'heard',
    'self',
  ]);
  expect(await redis.zcard(keys.workersSeen())).toBe(2);
});

test('a worker that was taken for lost and is heard of again is back in the register', async () => {
  await keep('self');
  await redis.del(keys.workers());
  await keep('self');
  expect(await redis.hkeys(keys.workers())).toEqual(['self']);
});

test('a pool is removed only when no worker and no job has had it for long, and this worker has been without it for as long', async () => {
  let passedMs = 0;
  const clock = { ...systemClock, monotonicMs: () => passedMs };
  const removed = new RemovedPools(live, redis, clock);
  const other = { provider: 'openai', pool: 'other' };
  const nowMs = await redisNowMs(redis);
  await redis.zadd(keys.poolsSeen(), nowMs - goneMs, 'openai/other', nowMs - goneMs, 'openai/chat');
  const longAgoMs = nowMs - 10 * goneMs;
  expect([await removed.find(), await removed.has(other, longAgoMs)]).toEqual([[], false]);
  passedMs = goneMs;
  expect([await removed.find(), await removed.has(other, longAgoMs)]).toEqual([[other], true]);
  expect(await removed.has(other, nowMs)).toBe(false);
  expect(await removed.has({ provider: 'openai', pool: 'chat' }, longAgoMs)).toBe(false);
  await redis.zadd(keys.poolsSeen(), nowMs + goneMs, 'openai/other');
  expect([await removed.find(), await removed.has(other, longAgoMs)]).toEqual([[], false]);
});
