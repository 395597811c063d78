import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { RedisProcess } from '../../harness/redis-process.ts';
import { FairPool } from './fair-pool.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const workers = 40;
const punctual = 4;
const latestMs = 250;

test('of the workers that wait for a ceiling a few come back on time, the others one after the other within a bound', async () => {
  const pool = await FairPool.open(redis, {
    guardMs: 0,
    credentials: [{ id: 'k', scope: 'k' }],
    scopes: { k: [{ dimension: 'requests', amount: 60, windowMs: 60_000, burst: 0.0001 }] },
  });
  for (let index = 0; index < 5; index++) await pool.add(`job${index}`, { tenant: 'a' });
  const ask = async () => {
    const { claimed, comeBackMs, lateMs } = await pool.claim(2);
    return { taken: claimed.length, backMs: pool.nowMs + comeBackMs! + lateMs };
  };
  for (let turn = 0; turn < 3; turn++) {
    const first = await ask();
    expect(first.taken).toBe(1);
    const backMs: number[] = [first.backMs];
    for (let worker = 1; worker < workers; worker++) backMs.push((await ask()).backMs);
    expect(backMs.filter((atMs) => atMs === first.backMs)).toHaveLength(punctual);
    expect(backMs).toEqual(backMs.toSorted((one, other) => one - other));
    expect(backMs.at(-1)).toBe(first.backMs + latestMs);
    pool.nowMs = first.backMs;
  }
  await pool.close();
});
