import type { Redis } from 'ioredis';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { JobStore } from '#shared/jobs/job-store.ts';
import { leaveTogether } from '#shared/jobs/shared-jobs.ts';
import { newId } from '#shared/kernel/ids.ts';
import { keys } from '#shared/redis/keys.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { testSettings } from '../../harness/test-settings.ts';

const tenant = 'acme';
const together = { digest: 'd', readersMax: 3 };
let redis: Redis;
let jobs: JobStore;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  jobs = new JobStore(redis, testSettings('http://127.0.0.1:1').jobs);
  return () => server.stop();
});
beforeEach(() => redis.flushall());

const accept = (jobId: string) =>
  jobs.accept({
    tenant,
    jobId,
    runAtMs: undefined,
    request: {
      endpoint: '/v1/chat/completions',
      model: 'm',
      provider: 'openai',
      pool: 'chat',
      body: '{}',
      headers: {},
      priority: 0,
      delivery: 'retry',
      metadata: {},
      axes: { key: 'test' },
      tokens: { input: 1, output: 1, max: 1, linear: 1 },
    },
    idempotency: undefined,
    goneJob: undefined,
    waiter: 'ingress',
    together,
    depthLimit: 10,
    deadlineMs: 60_000,
  });
const leave = (jobId: string, reader: string) => leaveTogether(redis, tenant, jobId, { together, reader });
const twice = async <T>(step: () => Promise<T>): Promise<[T, T]> => [await step(), await step()];

test('joining and leaving a shared job, each sent twice because a reply was lost, counts once', async () => {
  const [first, second, third] = [newId('job'), newId('job'), newId('job')];
  expect((await twice(() => accept(first))).map(({ kind }) => kind)).toEqual(['accepted', 'accepted']);
  const joined = { kind: 'together', jobId: first };
  expect(await twice(() => accept(second))).toEqual([joined, joined]);
  expect(await accept(third)).toEqual(joined);
  expect(await redis.get(keys.depth(tenant))).toBe('1');
  expect(await twice(() => leave(first, second))).toEqual([2, 2]);
  expect(await jobs.requestCancel(tenant, first)).toBe('shared');
  expect(await leave(first, third)).toBe(1);
  expect(await twice(() => leave(first, first))).toEqual([0, -1]);
  expect(await redis.keys(keys.together(tenant, '*'))).toEqual([]);
});

test('no more callers than a job may have, and none after it was cancelled or has ended', async () => {
  const ids = Array.from({ length: 6 }, () => newId('job'));
  const kinds = [];
  for (const id of ids.slice(0, 4)) kinds.push((await accept(id)).kind);
  expect(kinds).toEqual(['accepted', 'together', 'together', 'accepted']);
  // The fourth has a job of its own, which the others know nothing of.
  expect(await leave(ids[3]!, ids[3]!)).toBe(-1);
  expect(await jobs.requestCancel(tenant, ids[3]!)).toBe('queued');
  expect(await jobs.requestCancel(tenant, ids[0]!)).toBe('shared');
  await leave(ids[0]!, ids[1]!);
  expect(await accept(ids[4]!)).toEqual({ kind: 'together', jobId: ids[0] });
  await leave(ids[0]!, ids[2]!);
  await leave(ids[0]!, ids[4]!);
  expect(await twice(() => jobs.requestCancel(tenant, ids[0]!))).toEqual(['queued', 'queued']);
  expect((await accept(ids[5]!)).kind).toBe('accepted');
});
