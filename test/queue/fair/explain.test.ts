import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { reportHealth } from '#shared/queue/fair/credential-health.ts';
import { explainJob, explainPool } from '#shared/queue/fair/explain.ts';
import { coolDown, publishPool } from '#shared/queue/fair/publish-pool.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { FairPool } from './fair-pool.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const oneAMinute = {
  guardMs: 0,
  credentials: [{ id: 'k', scope: 'org' }],
  scopes: { org: [{ dimension: 'requests' as const, amount: 1, windowMs: 60_000, burst: null }] },
};

test('a waiting job knows what it waits for, its place, and when the pool goes on', async () => {
  const pool = await FairPool.open(redis, oneAMinute);
  for (const id of ['a0', 'a1', 'a2']) await pool.add(id, { tenant: 'a' });
  await pool.add('b0', { tenant: 'b' });
  await pool.claim(1);
  const { comeBackMs } = await pool.claim(1);
  const first = await explainJob(pool.backend, 'b', 'b0', 10);
  expect(first).toMatchObject({ waitReason: 'rpm', turn: 0, position: 0, depth: 1, running: 0 });
  expect(first.fitsAtMs).toBe(pool.nowMs + comeBackMs!);
  const behind = await explainJob(pool.backend, 'a', 'a2', 10);
  expect(behind).toMatchObject({ waitReason: 'rpm', turn: 1, position: 1, depth: 2, running: 1 });
  expect(behind.estimatedStartMs).toBe(comeBackMs! + 300);
  await coolDown(pool.backend, 'k', 120_000);
  expect((await explainJob(pool.backend, 'b', 'b0', 10)).waitReason).toBe('cooldown');
  await pool.close();
});

test('a heavy lane is expected to be served more often', async () => {
  const pool = await FairPool.open(redis);
  await publishPool(pool.backend, undefined, { heavy: { weight: 3 }, light: { weight: 1 } });
  for (let index = 0; index < 9; index++) {
    await pool.add(`light${index}`, { tenant: 'light' });
    await pool.add(`heavy${index}`, { tenant: 'heavy' });
  }
  // Six jobs ahead: four turns of the pool for each turn of the light lane, and 4/3 for each of the heavy one, which is second.
  expect((await explainJob(pool.backend, 'light', 'light6', 10)).estimatedStartMs).toBe(24 * 100);
  expect((await explainJob(pool.backend, 'heavy', 'heavy6', 10)).estimatedStartMs).toBe(8 * 100 + 100);
  await pool.close();
});

test('a pool tells its depth by lane, and why a lane does not take part', async () => {
  const pool = await FairPool.open(redis);
  await publishPool(pool.backend, undefined, { capped: { concurrency: 1 } });
  for (const id of ['c0', 'c1']) await pool.add(id, { tenant: 'capped', input: 5 });
  await pool.claim(2);
  await pool.add('d0', { tenant: 'other' });
  expect(await explainPool(pool.backend)).toMatchObject({
    lanes: 1,
    parked: 1,
    waiting: 2,
    inHand: 1,
    depths: { other: 1 },
  });
  expect((await explainJob(pool.backend, 'capped', 'c1', 1)).waitReason).toBe('tenant_concurrency');
  await pool.queue.pause();
  expect((await explainJob(pool.backend, 'other', 'd0', 1)).waitReason).toBe('paused');
  await pool.close();
});

test('a pool tells how far its ceilings are used, what its head waits for, and how its credentials are', async () => {
  const pool = await FairPool.open(redis, oneAMinute);
  for (const id of ['a0', 'a1']) await pool.add(id, { tenant: 'a' });
  expect(await explainPool(pool.backend)).toMatchObject({
    ceilings: [{ scope: 'org', name: 'rpm', used: 0, amount: 1 }],
    credentials: [{ id: 'k', scope: 'org', state: 'ready', heldMs: 0, refusals: 0 }],
  });
  await pool.claim(1);
  expect(await explainPool(pool.backend)).toMatchObject({
    waitReason: 'rpm',
    ceilings: [{ used: 1, amount: 1 }],
  });
  await coolDown(pool.backend, 'k', 120_000);
  await coolDown(pool.backend, 'k', 60_000);
  expect(await explainPool(pool.backend)).toMatchObject({
    waitReason: 'cooldown',
    credentials: [{ state: 'cooldown', heldMs: 120_000, refusals: 2 }],
  });
  pool.nowMs += 120_000;
  expect(await explainPool(pool.backend)).toMatchObject({
    ceilings: [{ used: 0 }],
    credentials: [{ state: 'ready', heldMs: 0, refusals: 2 }],
  });
  await reportHealth(pool.backend, { credential: 'k', jobId: 'a0', ending: 'billing', atLeastMs: 30_000 });
  const [held] = (await explainPool(pool.backend)).credentials;
  expect(held).toMatchObject({ state: 'billing', refusals: 2 });
  expect(held!.heldMs).toBeGreaterThanOrEqual(30_000);
  await pool.close();
});

test('a pool of which nothing was published has neither ceilings nor credentials', async () => {
  const pool = await FairPool.open(redis);
  expect(await explainPool(pool.backend)).toMatchObject({ ceilings: [], credentials: [], delayed: 0 });
  await pool.close();
});
