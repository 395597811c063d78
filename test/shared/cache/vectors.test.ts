import type { Redis } from 'ioredis';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { QuestionGroup, VectorIndex } from '#shared/cache/question-group.ts';
import { StoredVectors } from '#shared/cache/stored-vectors.ts';
import { hasVectorSets, VectorSets } from '#shared/cache/vector-sets.ts';
import { cosineOf, unitVector, vectorOf } from '#shared/cache/vectors.ts';
import { RedisProcess } from '../../harness/redis-process.ts';

let redis: Redis;
let hasSets = false;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  hasSets = await hasVectorSets(redis);
  return () => server.stop();
});
beforeEach(() => redis.flushall());

const group: QuestionGroup = { tenant: 'acme', namespace: 'default', group: 'g' };
const ttlMs = 60_000;
const toward = (...values: number[]) => unitVector(values)!;
const limits = { groupEntriesMax: 3, maxBytes: 1_000_000 };

/** Stands in for Redis' vector sets, as their documentation describes them, where the installed Redis is older than they are. */
function redisWithVectorSets(real: Redis): Redis {
  const sets = new Map<string, Map<string, Float32Array>>();
  const commands: Record<string, (...args: never[]) => unknown> = {
    VADD(key: string, format: 'FP32', bytes: Buffer, element: string, quantization: 'NOQUANT') {
      expect([format, quantization]).toEqual(['FP32', 'NOQUANT']);
      const set = sets.get(key) ?? new Map<string, Float32Array>();
      sets.set(key, set.set(element, vectorOf(bytes)));
      return real.set(key, 'a vector set');
    },
    VSIM(key: string, format: 'FP32', bytes: Buffer, scores: 'WITHSCORES', _count: 'COUNT', count: number) {
      expect([format, scores]).toEqual(['FP32', 'WITHSCORES']);
      return [...(sets.get(key) ?? [])]
        .map(([element, vector]) => [element, (1 + cosineOf(vector, vectorOf(bytes))) / 2] as const)
        .toSorted(([, left], [, right]) => right - left)
        .slice(0, count)
        .flatMap(([element, score]) => [element, String(score)]);
    },
    VCARD: (key: string) => sets.get(key)?.size ?? 0,
    VRANDMEMBER: (key: string) => [...sets.get(key)!.keys()][0],
    VREM: (key: string, element: string) => Number(sets.get(key)?.delete(element) ?? false),
  };
  const call = (name: string, ...args: never[]) => Promise.resolve(commands[name]!(...args));
  const unlink = (...keys: string[]) => {
    for (const key of keys) sets.delete(key);
    return real.unlink(...keys);
  };
  const overridden: Record<PropertyKey, unknown> = { call, unlink };
  return new Proxy(real, {
    get(target, name) {
      if (name in overridden) return overridden[name];
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

const kinds: [string, () => VectorIndex][] = [
  ['vectors compared here', () => new StoredVectors(redis, limits)],
  ['vector sets', () => new VectorSets(hasSets ? redis : redisWithVectorSets(redis), limits.groupEntriesMax)],
];

describe.each(kinds)('%s', (_name, open) => {
  test('the nearest come first, with their cosine', async () => {
    const index = open();
    await index.add(group, 'east', toward(1, 0), ttlMs);
    await index.add(group, 'north', toward(0, 1), ttlMs);
    await index.add(group, 'west', toward(-1, 0), ttlMs);
    const found = await index.nearest(group, toward(2, 1), 2);
    expect(found.map(({ key }) => key)).toEqual(['east', 'north']);
    expect(found[0]!.cosine).toBeCloseTo(2 / Math.sqrt(5), 4);
    expect(await index.nearest({ ...group, tenant: 'rival' }, toward(1, 0), 2)).toEqual([]);
    expect(await index.nearest({ ...group, group: 'other' }, toward(1, 0), 2)).toEqual([]);
  });

  test('a group keeps so many, and what is dropped or cleared is found no more', async () => {
    const index = open();
    for (const [at, name] of ['a', 'b', 'c', 'd'].entries())
      await index.add(group, name, toward(1, at), ttlMs);
    const names = (await index.nearest(group, toward(1, 0), 9)).map(({ key }) => key);
    expect(names).toHaveLength(3);
    expect(names).toContain('d');
    await index.drop(group, ['d']);
    expect(await index.nearest(group, toward(1, 0), 9)).toHaveLength(2);
    await index.clear('acme', 'elsewhere');
    expect(await open_(index).nearest(group, toward(1, 0), 9)).toHaveLength(2);
    await index.clear('acme', 'default');
    const after = await open_(index).nearest(group, toward(1, 0), 9);
    expect(after).toEqual([]);
  });

  /** Another process, which knows only what Redis knows; a vector set is only in Redis as it is. */
  const open_ = (index: VectorIndex) =>
    index instanceof StoredVectors ? new StoredVectors(redis, limits) : index;
});

test('a process sees what another one added since it looked, also after the group was forgotten', async () => {
  const [one, two] = [new StoredVectors(redis, limits), new StoredVectors(redis, limits)];
  await one.add(group, 'first', toward(1, 0), ttlMs);
  expect(await two.nearest(group, toward(1, 0), 9)).toMatchObject([{ key: 'first' }]);
  await one.add(group, 'second', toward(1, 1), ttlMs);
  expect(await two.nearest(group, toward(1, 1), 1)).toMatchObject([{ key: 'second' }]);
  await one.clear('acme', undefined);
  await one.add(group, 'third', toward(0, 1), ttlMs);
  expect(await two.nearest(group, toward(0, 1), 1)).toMatchObject([{ key: 'third' }]);
});

test('copies take only so much memory: a group that was used longest ago is read again', async () => {
  const index = new StoredVectors(redis, { ...limits, maxBytes: 8 * 3 });
  const groups = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ ...group, group: name }));
  for (const each of groups) {
    await index.add(each, 'x', toward(1, 0), ttlMs);
    await index.nearest(each, toward(1, 0), 1);
  }
  for (const each of groups) expect(await index.nearest(each, toward(1, 0), 1)).toHaveLength(1);
});

test('the installed Redis says whether it has vector sets', async () => {
  const [, major] = /redis_version:(\d+)/.exec(await redis.info('server'))!;
  expect(hasSets).toBe(Number(major) >= 8);
});
