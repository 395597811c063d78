import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Completion } from '#shared/queue/fair/claims.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { FairPool } from './fair-pool.ts';

let redis: Redis;
let pool: FairPool;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});
afterAll(async () => {
  await pool.close();
});
beforeEach(async () => {
  await redis.flushall();
  pool = await FairPool.open(redis, {
    credentials: [{ id: 'k', scope: 'org' }],
    scopes: { org: [{ dimension: 'concurrency', amount: 3 }] },
  });
  for (let index = 0; index < 9; index++) {
    await pool.add(`job-${index}`, { tenant: `tenant-${index % 2}`, input: 3, output: 1, max: 1 });
  }
});

const completionOf = (id: string, token = pool.tokenOf(id)) =>
  ({ job: { id, opts: {} }, token, usage: { in: 3, out: 1 } }) as Completion;

test('jobs that end together make room for as many others, in one script', async () => {
  const ids = (await pool.claim(5)).claimed.map(({ id }) => id);
  expect(ids).toHaveLength(3);
  await redis.config('RESETSTAT');
  const completions = ids.map((id) => completionOf(id));
  const { failed, claimed } = await pool.backend.complete(completions, {
    count: 3,
    tokenPrefix: 'n',
    tokenFrom: 0,
  });
  expect(await redis.info('commandstats')).toMatch(/cmdstat_fcall:calls=1,/);
  expect(failed).toEqual([undefined, undefined, undefined]);
  expect(claimed.map(({ token }) => token)).toEqual(['n0', 'n1', 'n2']);
  expect(new Set([...ids, ...claimed.map(({ id }) => id)]).size).toBe(6);
  for (const id of ids) expect(await pool.queue.getJob(id)).toBeUndefined();
});

test('one that cannot be completed fails alone, and its place is not given away', async () => {
  const [first, second, third] = (await pool.claim(3)).claimed.map(({ id }) => id);
  const completions = [completionOf(first!), completionOf(second!, 'somebody else'), completionOf(third!)];
  const { failed, claimed } = await pool.backend.complete(completions, {
    count: 3,
    tokenPrefix: 'n',
    tokenFrom: 0,
  });
  expect(failed.map((error) => error?.message)).toEqual([
    undefined,
    expect.stringContaining(second!),
    undefined,
  ]);
  expect(claimed).toHaveLength(2);
  expect(await pool.queue.getActiveCount()).toBe(3);
});

test('one of which there is more to do than of the others is completed as BullMQ does it', async () => {
  const [plain, parent] = (await pool.claim(2)).claimed.map(({ id }) => id);
  await redis.hset(`${pool.queue.toKey(parent!)}`, 'deid', 'same');
  await redis.set(pool.queue.toKey('de:same'), parent!);
  const { failed } = await pool.backend.complete([completionOf(plain!), completionOf(parent!)]);
  expect(failed).toEqual([undefined, undefined]);
  expect(await redis.exists(pool.queue.toKey('de:same'))).toBe(0);
  expect(await pool.queue.getActiveCount()).toBe(0);
});
