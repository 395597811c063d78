import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import type { LimitReading } from '#shared/contracts/limit-reading.ts';
import { observeLimits } from '#shared/queue/fair/observe-limits.ts';
import { publishPool } from '#shared/queue/fair/publish-pool.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { FairPool } from './fair-pool.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const windowMs = 60_000;
const settings = (ceiling: object) => ({
  guardMs: 0,
  credentials: [{ id: 'k', scope: 'org' }],
  scopes: { org: [{ dimension: 'requests' as const, amount: 4, windowMs, burst: null, ...ceiling }] },
});

const reading = (limit: number, used = 0): LimitReading => ({
  dimension: 'requests',
  windowMs,
  limit,
  used,
  resetMs: undefined,
  resetGrainMs: 1,
  grain: 0,
  wallClock: false,
});
const observe = (pool: FairPool, ...readings: LimitReading[]) =>
  observeLimits(pool.backend, 'k', 20, readings);

async function withBacklog(ceiling: object): Promise<FairPool> {
  const pool = await FairPool.open(redis, settings(ceiling));
  for (let index = 0; index < 40; index++) await pool.add(`job${index}`, { tenant: 'a' });
  return pool;
}
const admitted = async (pool: FairPool) => (await pool.claim(40)).claimed.length;

test('a limit that the provider names is adopted, up and down, and held by a configuration published anew', async () => {
  const pool = await withBacklog({ auto: true });
  expect(await admitted(pool)).toBe(4);
  const up = await observe(pool, reading(9, 4));
  expect(up.changes).toEqual([{ ceiling: 'rpm', from: 4, to: 9, adopted: true }]);
  expect((await observe(pool, reading(9, 4))).changes).toEqual([]);
  expect(await admitted(pool)).toBe(5);
  await publishPool(pool.backend, settings({ auto: true }));
  pool.nowMs += 2 * windowMs;
  expect(await admitted(pool)).toBe(9);
  const down = await observe(pool, reading(2, 2));
  expect(down.changes).toEqual([{ ceiling: 'rpm', from: 9, to: 2, adopted: true }]);
  pool.nowMs += 2 * windowMs;
  expect(await admitted(pool)).toBe(2);
  await pool.close();
});

test('without auto a different limit is reported once, and nothing changes', async () => {
  const pool = await withBacklog({});
  const { changes } = await observe(pool, reading(9));
  expect(changes).toEqual([{ ceiling: 'rpm', from: 4, to: 9, adopted: false }]);
  expect((await observe(pool, reading(9))).changes).toEqual([]);
  expect(await admitted(pool)).toBe(4);
  await pool.close();
});

test('what was adopted ends with auto', async () => {
  const pool = await withBacklog({ auto: true });
  await observe(pool, reading(9));
  await publishPool(pool.backend, settings({ auto: false }));
  expect(await admitted(pool)).toBe(4);
  await pool.close();
});

test('a ceiling of which nothing is known holds from when the provider has named it', async () => {
  const pool = await withBacklog({ auto: true, known: false, amount: 1_000_000_000 });
  await pool.claim(3);
  const { changes } = await observe(pool, reading(20, 3));
  expect(changes).toEqual([{ ceiling: 'rpm', from: 0, to: 20, adopted: true }]);
  expect(await admitted(pool)).toBe(17);
  await publishPool(pool.backend, settings({ auto: true, known: false, amount: 1_000_000_000 }));
  pool.nowMs += 2 * windowMs;
  expect(await admitted(pool)).toBe(20);
  await pool.close();
});

test('scaled back and forth, a ceiling and its slices are what they were', async () => {
  const pool = await withBacklog({ auto: true, amount: 600, sliceMs: 1_000 });
  for (const limit of [7, 6_000, 1, 600]) {
    pool.nowMs += 11_000;
    await observe(pool, reading(limit));
  }
  const startedMs = pool.nowMs;
  let total = 0;
  for (; pool.nowMs < startedMs + 1_000; pool.nowMs += 5) total += await admitted(pool);
  expect(total).toBe(10);
  await pool.close();
});

test('two limits behind one name do not take turns: a higher one waits until the lower has held for a while', async () => {
  const pool = await withBacklog({ auto: true });
  await observe(pool, reading(3));
  expect((await observe(pool, reading(8))).changes).toEqual([]);
  pool.nowMs += 10_000;
  expect((await observe(pool, reading(8))).changes).toHaveLength(1);
  await pool.close();
});

test('what others use of a key is charged, and what the key itself used is not', async () => {
  const pool = await withBacklog({ amount: 20 });
  expect((await pool.claim(5)).claimed).toHaveLength(5);
  expect((await observe(pool, reading(20, 5))).foreign).toEqual([]);
  expect((await observe(pool, reading(20, 17))).foreign).toEqual([{ ceiling: 'rpm', amount: 12 }]);
  expect(await admitted(pool)).toBe(3);
  await pool.close();
});

test('an observation of a credential or a ceiling that is not there changes nothing', async () => {
  const pool = await withBacklog({});
  expect(await observeLimits(pool.backend, 'gone', 0, [reading(1, 1)])).toEqual({ changes: [], foreign: [] });
  expect(await observe(pool, { ...reading(1, 1), dimension: 'tokens' })).toEqual({
    changes: [],
    foreign: [],
  });
  expect(await admitted(pool)).toBe(4);
  await pool.close();
});
