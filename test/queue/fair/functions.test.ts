import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fairLibrary } from '#shared/queue/fair/fair-scripts.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { FairPool } from './fair-pool.ts';

let server: RedisProcess;
let redis: Redis;
let pool: FairPool;
beforeAll(async () => {
  server = await RedisProcess.start();
  redis = server.connect();
});
afterAll(async () => {
  await pool.close();
  await server.stop();
});
beforeEach(async () => {
  await redis.flushall();
  pool = await FairPool.open(redis);
});

const call = { tenant: 'a', input: 3, output: 1, max: 1 };
const librariesOf = async () => ((await redis.function('LIST')) as string[][]).map(([, name]) => name);

describe('a Redis that has lost its functions', () => {
  test('gets them again, once, whoever calls first', async () => {
    await pool.claim(1);
    await redis.function('FLUSH');
    await redis.config('RESETSTAT');
    await Promise.all(Array.from({ length: 20 }, (_, index) => pool.add(`job-${index}`, call)));
    expect((await pool.claim(20)).claimed).toHaveLength(20);
    expect(await redis.info('commandstats')).toMatch(/cmdstat_function\|load:calls=1,/);
  });

  test('gets them before a bulk add, of which nothing is lost', async () => {
    await pool.claim(1);
    await redis.function('FLUSH');
    await pool.queue.addBulk(Array.from({ length: 3 }, () => ({ name: 'call', data: call })));
    expect((await pool.claim(5)).claimed).toHaveLength(3);
  });

  test('may have been restarted without its disk', async () => {
    await pool.add('before', call);
    await server.kill();
    await server.start('--appendonly', 'no');
    await pool.add('after', call);
    expect((await pool.claim(5)).claimed.map(({ id }) => id)).toEqual(['after']);
  });
});

test('functions of another release stay beside ours', async () => {
  const other = fairLibrary.name.replace(/.{4}$/, '0000');
  await redis.function('LOAD', fairLibrary.text.replaceAll(fairLibrary.name, other));
  await pool.add('job', call);
  expect(await librariesOf()).toEqual(expect.arrayContaining([other, fairLibrary.name]));
});
