import type { Redis } from 'ioredis';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import type { PayloadBlobs } from '#shared/blobs/payload-blobs.ts';
import { CacheStore } from '#shared/cache/cache-store.ts';
import { keys } from '#shared/redis/keys.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { until } from '../../harness/until.ts';

let redis: Redis;
let nowMs = 1_000_000;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});
beforeEach(() => redis.flushall());

const tenant = 'acme';
const digest = (name: string) => Buffer.from(name).toString('hex').padEnd(64, '0');
const place = (name: string, namespace = 'default') => ({ tenant, namespace, key: digest(name) });
const answer = (body: string) => ({
  shape: 'whole' as const,
  contentType: 'application/json',
  provider: 'openai',
  model: 'm',
  usage: { inputTokens: 1, outputTokens: 2 },
  body: Buffer.from(body),
});

/** A blob store in memory. */
function memoryBlobs() {
  const held = new Map<string, Buffer>();
  const large = {
    inlineMaxBytes: 1_000,
    write: async (_tenant: string, name: string, bytes: Uint8Array) =>
      void held.set(name, Buffer.from(bytes)),
    read: async (_tenant: string, name: string) => held.get(name),
    remove: async (_tenant: string, name: string) => void held.delete(name),
  };
  return { held, large: large as unknown as PayloadBlobs };
}

const openStore = (bounds: { entries_max?: number; bytes_max?: number } = {}, large?: PayloadBlobs) =>
  new CacheStore({
    redis,
    settings: { entries_max: 100, bytes_max: 1_000_000, ...bounds },
    suppliedNowMs: () => nowMs,
    ...(large ? { large } : {}),
  });
const bytesHeld = async () => Number(await redis.get(keys.cacheBytes(tenant)));

test('no more answers than the tenant may have: what would expire first goes first', async () => {
  const store = openStore({ entries_max: 3 });
  await store.put(place('long'), answer('long'), 90_000);
  for (const name of ['a', 'b', 'c']) await store.put(place(name), answer(name), 60_000);
  const found = await Promise.all(['long', 'a', 'b', 'c'].map((name) => store.find(place(name))));
  expect(found.map((each) => each?.body.toString())).toEqual(['long', undefined, 'b', 'c']);
  await store.put({ ...place('a'), tenant: 'rival' }, answer('rival'), 60_000);
  expect((await store.find(place('b')))?.body.toString()).toBe('b');
});

test('no more bytes than the tenant may have, counted exactly, also when an answer is put again', async () => {
  const store = openStore({ bytes_max: 4_000 });
  for (let index = 0; index < 20; index++) {
    await store.put(place(`n${index % 7}`), answer('x'.repeat(100 + 100 * (index % 7))), 60_000 + index);
    expect(await bytesHeld()).toBeLessThanOrEqual(4_000);
  }
  const rows = Object.values(await redis.hgetall(keys.cacheSizes(tenant)));
  expect(rows.reduce((sum, row) => sum + Number(row.split(' ')[0]), 0)).toBe(await bytesHeld());
  expect(rows.length).toBe(await redis.zcard(keys.cacheIndex(tenant)));
  expect(await store.clear(tenant, undefined)).toBe(rows.length);
  expect(await bytesHeld()).toBe(0);
});

test('what has expired makes room before anything else does', async () => {
  const store = openStore({ entries_max: 2 });
  await store.put(place('short'), answer('short'), 1_000);
  await store.put(place('kept'), answer('kept'), 60_000);
  nowMs += 1_001;
  await store.put(place('new'), answer('new'), 60_000);
  expect((await store.find(place('kept')))?.body.toString()).toBe('kept');
  expect(await redis.zcard(keys.cacheIndex(tenant))).toBe(2);
});

test('putting an answer twice, as when a reply was lost, leaves what putting it once does', async () => {
  const { held, large } = memoryBlobs();
  const store = openStore({}, large);
  const state = async () => [
    await redis.hgetall(keys.cacheSizes(tenant)),
    await redis.zrange(keys.cacheIndex(tenant), 0, '-1', 'WITHSCORES'),
    await bytesHeld(),
  ];
  await store.put(place('small'), answer('small'), 60_000);
  const once = await state();
  await store.put(place('small'), answer('small'), 60_000);
  expect(await state()).toEqual(once);
  await store.put(place('big'), answer('x'.repeat(2_000)), 60_000);
  await store.put(place('big'), answer('y'.repeat(2_000)), 60_000);
  expect(held.size).toBe(1);
  expect((await store.find(place('big')))?.body.toString()).toBe('y'.repeat(2_000));
});

test('a large answer lies in the blob store for as long as its entry is there', async () => {
  const { held, large } = memoryBlobs();
  const store = openStore({ entries_max: 2 }, large);
  await store.put(place('big'), answer('x'.repeat(5_000)), 60_000);
  const [name] = held.keys();
  expect([await store.holds(tenant, name!), await store.holds('rival', name!)]).toEqual([true, false]);
  expect(await store.holds(tenant, 'job_1.result.x')).toBe(false);
  await store.put(place('b'), answer('b'), 70_000);
  await store.put(place('c'), answer('c'), 70_000);
  await until('its blob is removed', () => held.size === 0);
  expect(await store.holds(tenant, name!)).toBe(false);
  await store.put(place('gone', 'other'), answer('x'.repeat(5_000)), 90_000);
  held.clear();
  expect(await store.find(place('gone', 'other'))).toBeUndefined();
});

test('the book of a tenant ends with its last answer', async () => {
  const store = openStore();
  await store.put(place('a'), answer('a'), 60_000);
  await store.put(place('b'), answer('b'), 10_000);
  for (const key of [keys.cacheIndex(tenant), keys.cacheSizes(tenant), keys.cacheBytes(tenant)]) {
    const leftMs = await redis.pttl(key);
    expect(leftMs).toBeGreaterThan(50_000);
    expect(leftMs).toBeLessThanOrEqual(60_000);
  }
});
