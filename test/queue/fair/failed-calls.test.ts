import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { fairKeys } from '#shared/redis/keys.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { FairPool } from './fair-pool.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

type Accounting = 'input_plus_max' | 'input_plus_output_actual';
const limited = (
  accounting: Accounting,
  dimension: 'requests' | 'tokens' | 'output_tokens',
  amount: number,
) => ({
  accounting,
  guardMs: 0,
  credentials: [{ id: 'k', scope: 'org' }],
  scopes: { org: [{ dimension, amount, windowMs: 60_000, burst: null }] },
});
const call = { tenant: 'a', input: 10, output: 20, max: 90 };

const counterOf = async (pool: FairPool) =>
  Number(await redis.hget(`${fairKeys(pool.backend.keys['']!).lane}a`, 'counter'));

test('a call that is tried again and again costs its tenant what it used in the end', async () => {
  const pool = await FairPool.open(redis);
  await pool.add('job', call);
  for (const unused of ['output', undefined, 'all'] as const) {
    expect((await pool.claim(1)).claimed).toHaveLength(1);
    expect(await counterOf(pool)).toBe(10 + 4 * 20);
    await pool.putBack('job', unused);
  }
  await pool.claim(1);
  await pool.complete('job', { in: 12, out: 7 });
  expect(await counterOf(pool)).toBe(12 + 4 * 7);
  await pool.close();
});

test('a call lost by its worker costs its tenant once, and its ceilings stay charged', async () => {
  const pool = await FairPool.open(redis, limited('input_plus_output_actual', 'output_tokens', 100));
  await pool.add('job', call);
  await pool.claim(1);
  // What BullMQ does with an active job whose lock has ended.
  await redis.lrem(pool.queue.toKey('active'), 1, 'job');
  await redis.rpush(pool.queue.toKey('wait'), 'job');
  expect((await pool.claim(1)).claimed).toEqual([]);
  pool.nowMs += 60_200;
  expect((await pool.claim(1)).claimed).toHaveLength(1);
  await pool.complete('job', { in: 10, out: 1 });
  expect(await counterOf(pool)).toBe(10 + 4);
  await pool.close();
});

/** Whether the next call fits after one that came to this end. */
async function leavesRoom(
  accounting: Accounting,
  dimension: 'requests' | 'tokens' | 'output_tokens',
  unused: 'all' | 'output' | undefined,
): Promise<boolean> {
  const pool = await FairPool.open(redis, limited(accounting, dimension, dimension === 'requests' ? 1 : 105));
  await pool.add('job', call);
  await pool.claim(1);
  await pool.putBack('job', unused);
  const { claimed } = await pool.claim(1);
  await pool.close();
  return claimed.length === 1;
}

test('ceilings: a call never sent leaves no trace, a refused one its request, and its output where that is held at the start', async () => {
  const ends = ['all', 'output', undefined] as const;
  const room = (accounting: Accounting, dimension: 'requests' | 'tokens' | 'output_tokens') =>
    Promise.all(ends.map((unused) => leavesRoom(accounting, dimension, unused)));
  expect(await room('input_plus_max', 'requests')).toEqual([true, false, false]);
  expect(await room('input_plus_output_actual', 'requests')).toEqual([true, false, false]);
  expect(await room('input_plus_max', 'tokens')).toEqual([true, false, false]);
  expect(await room('input_plus_output_actual', 'output_tokens')).toEqual([true, true, false]);
});
