import type { Redis } from 'ioredis';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import type { Attempt, Delivery } from '#shared/contracts/job.ts';
import { moveWaitingJob } from '#shared/jobs/abandon.ts';
import { type BeginOptions, JobStore, type Settlement } from '#shared/jobs/job-store.ts';
import { newId } from '#shared/kernel/ids.ts';
import { keys } from '#shared/redis/keys.ts';
import { RedisProcess } from '../harness/redis-process.ts';
import { testSettings } from '../harness/test-settings.ts';

const tenant = 'acme';
let redis: Redis;
let jobs: JobStore;
let nowMs = 1_000_000;

beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  jobs = new JobStore(
    redis,
    testSettings('http://127.0.0.1:1', { jobs: { lease_ms: 2_000, crashes_max: 3 } }).jobs,
    { suppliedNowMs: () => nowMs },
  );
  return () => server.stop();
});
beforeEach(() => redis.flushall());

const accept = async (jobId: string, delivery: Delivery = 'retry', runAtMs?: number) =>
  jobs.accept({
    tenant,
    jobId,
    runAtMs,
    request: {
      endpoint: '/v1/chat/completions',
      model: 'm',
      provider: 'openai',
      pool: 'chat',
      body: '{}',
      headers: {},
      priority: 0,
      delivery,
      metadata: {},
      tokens: { input: 1, output: 1, max: 1, linear: 1 },
      axes: { key: 'test' },
    },
    idempotency: { keyHash: 'k', fingerprint: 'f' },
    goneJob: undefined,
    waiter: undefined,
    depthLimit: 10,
    deadlineMs: 60_000,
  });
const begin = (jobId: string, token: string, more: Partial<BeginOptions> = {}) =>
  jobs.begin({
    tenant,
    jobId,
    token,
    owner: `owner of ${token}`,
    place: { provider: 'openai', pool: 'chat' },
    mayTakeOver: true,
    mayRunSuspect: false,
    ...more,
  });
const attemptRow = (attempt: number): Attempt => ({
  attempt,
  credential: 'main',
  started_at: nowMs,
  duration_ms: 1,
  status: 200,
  result: 'succeeded',
});
const settlement = (jobId: string, attempt: number, more: Partial<Settlement> = {}): Settlement => ({
  tenant,
  state: 'succeeded',
  head: {
    job: jobId,
    state: 'succeeded',
    status: 200,
    contentType: 'application/json',
    headers: {},
    provider: 'openai',
    model: 'm',
    error: null,
    attempts: attempt,
    queueMs: 0,
    providerMs: 1,
  },
  body: Buffer.from(`answer ${attempt}`),
  usage: { inputTokens: 2, outputTokens: 3 },
  attempt: attemptRow(attempt),
  ...more,
});
const depth = async () => Number(await redis.get(keys.depth(tenant)));
const ledgerKinds = async () =>
  (await redis.xrange(keys.ledger(tenant), '-', '+')).map(([, values]) => values[1]);
const twice = async <T>(step: () => Promise<T>): Promise<[T, T]> => [await step(), await step()];

test('every step of a job leaves the same when it is sent twice', async () => {
  const id = newId('job');
  const [accepted, again] = await twice(() => accept(id));
  expect(again).toEqual(accepted);
  expect(await depth()).toBe(1);

  const [begun, begunAgain] = await twice(() => begin(id, 'a'));
  expect(begun).toMatchObject({ kind: 'begun', job: { attempt: 1 } });
  expect(begunAgain).toEqual(begun);
  expect(await depth()).toBe(0);

  const abandoned = { attempt: attemptRow(1), refusal: true, waitReason: 'cooldown', delayMs: 500 };
  await twice(() => jobs.abandon(tenant, id, 'a', abandoned));
  expect(await depth()).toBe(1);
  expect(await jobs.view(tenant, id)).toMatchObject({
    state: 'queued',
    attempt: 1,
    attempts: [{ attempt: 1 }],
    notBeforeMs: nowMs + 500,
  });

  expect(await twice(() => begin(id, 'b'))).toEqual([
    { kind: 'early', remainingMs: 500 },
    { kind: 'early', remainingMs: 500 },
  ]);
  nowMs += 500;
  expect(await begin(id, 'b')).toMatchObject({ kind: 'begun', job: { attempt: 2, refusals: 1 } });

  const [settled, settledAgain] = await twice(() => jobs.settle(settlement(id, 2)));
  expect([settled.kind, settledAgain.kind]).toEqual(['settled', 'already']);
  expect(await ledgerKinds()).toEqual(['settled']);
  expect(await depth()).toBe(0);
  expect(await twice(() => begin(id, 'c'))).toEqual([{ kind: 'settled' }, { kind: 'settled' }]);
});

test('a job whose worker was lost begins elsewhere only after the lease, and each loss counts once', async () => {
  const id = newId('job');
  await accept(id);
  await begin(id, 'a');
  expect(await begin(id, 'b')).toEqual({ kind: 'busy', remainingMs: 2_000 });
  nowMs += 2_001;
  expect(await begin(id, 'b', { mayTakeOver: false })).toEqual({ kind: 'busy', remainingMs: 2_000 });
  expect((await twice(() => begin(id, 'b')))[1]).toMatchObject({ kind: 'begun', job: { attempt: 2 } });
  expect(await redis.hget(keys.job(tenant, id), 'crashes')).toBe('1');

  expect(await twice(() => jobs.reclaim(tenant, id, 'owner of a'))).toEqual(['other', 'other']);
  expect(await twice(() => jobs.reclaim(tenant, id, 'owner of b'))).toEqual(['reclaimed', 'reclaimed']);
  expect(await twice(() => begin(id, 'c'))).toEqual([{ kind: 'suspect' }, { kind: 'suspect' }]);
  expect(await begin(id, 'c', { mayRunSuspect: true })).toMatchObject({ kind: 'begun', job: { attempt: 3 } });
  nowMs += 2_001;
  expect(await twice(() => begin(id, 'd'))).toEqual([
    { kind: 'crashed', crashes: 3 },
    { kind: 'crashed', crashes: 3 },
  ]);
});

test('of two workers that both run a job, an answer counts whoever brings it, a failure only from the holder of the lease', async () => {
  const id = newId('job');
  await accept(id);
  await begin(id, 'a');
  nowMs += 2_001;
  await begin(id, 'b');
  const failure = { state: 'failed', usage: undefined, holder: 'a' } as const;
  expect(await jobs.settle(settlement(id, 1, failure))).toEqual({ kind: 'running', owner: 'owner of b' });
  expect(await jobs.heartbeat(tenant, id, 'a')).toBe('lost');
  expect(await jobs.settle(settlement(id, 1))).toMatchObject({ kind: 'settled' });
  expect(await twice(() => jobs.settle(settlement(id, 2)))).toMatchObject([
    { kind: 'already' },
    { kind: 'already' },
  ]);
  expect((await jobs.outcome(tenant, id))?.body.toString()).toBe('answer 1');
  expect(await ledgerKinds()).toEqual(['settled', 'wasted']);
});

test('at_most_once: a lost worker means an unknown outcome, and a reply lost by begin does not', async () => {
  const id = newId('job');
  await accept(id, 'at_most_once');
  expect((await twice(() => begin(id, 'a')))[1]).toMatchObject({ kind: 'begun', job: { attempt: 1 } });
  nowMs += 2_001;
  expect(await twice(() => begin(id, 'b'))).toEqual([{ kind: 'unknown' }, { kind: 'unknown' }]);
});

test('a job with run_at does not begin before it, whatever the clock of the worker says', async () => {
  const id = newId('job');
  await accept(id, 'retry', nowMs + 5_000);
  expect(await begin(id, 'a')).toEqual({ kind: 'early', remainingMs: 5_000 });
  nowMs += 5_000;
  expect(await begin(id, 'a')).toMatchObject({ kind: 'begun' });
});

test('a job that is to be cancelled does not begin again', async () => {
  const id = newId('job');
  await accept(id);
  await begin(id, 'a');
  expect(await twice(() => jobs.requestCancel(tenant, id))).toEqual(['requested', 'requested']);
  expect(await jobs.heartbeat(tenant, id, 'a')).toBe('cancel');
  nowMs += 2_001;
  expect(await begin(id, 'b')).toEqual({ kind: 'cancelled' });
});

test('a job moves to another target once, however often that is sent, and runs nowhere else from then on', async () => {
  const id = newId('job');
  await accept(id);
  await begin(id, 'a');
  const tokens = { input: 7, output: 1, max: 1, linear: 7 };
  const claude = { to: 1, target: { provider: 'anthropic', pool: 'claude', model: 'c', tokens } };
  const usage = { inputTokens: 5, outputTokens: 6 };
  const wasted = { provider: 'openai', model: 'm', usage, nanoUsd: 7 };
  const failed = { attempt: attemptRow(1), refusal: false, waitReason: 'fallback', delayMs: 0 };
  await twice(() => jobs.abandon(tenant, id, 'a', { ...failed, moved: claude, wasted }));
  expect(await depth()).toBe(1);
  expect(await twice(() => begin(id, 'b'))).toEqual([{ kind: 'moved' }, { kind: 'moved' }]);

  const gpt = { to: 2, target: { ...claude.target, provider: 'openai', pool: 'other' } };
  const from = { tenant, jobId: id, from: 1 };
  const story = { attempt: { ...attemptRow(1), result: 'waited' }, waitReason: 'fallback' };
  expect(await twice(() => moveWaitingJob(redis, from, gpt, story))).toEqual([true, false]);
  expect(await jobs.view(tenant, id)).toMatchObject({
    provider: 'openai',
    pool: 'other',
    model: 'c',
    target: 2,
    tokens,
    attempt: 1,
    attempts: [{ result: 'succeeded' }, { result: 'waited' }],
  });
  const begun = await begin(id, 'b', { place: { provider: 'openai', pool: 'other' } });
  expect(begun).toMatchObject({ kind: 'begun', job: { attempt: 2, attemptsBefore: 1, refusals: 0 } });
  expect(await moveWaitingJob(redis, { ...from, from: 2 }, claude, story)).toBe(false);

  await twice(() => jobs.settle(settlement(id, 2)));
  const rows = (await redis.xrange(keys.ledger(tenant), '-', '+')).map(([, values]) => values.join(' '));
  expect(rows).toEqual([
    expect.stringMatching(
      /kind wasted .* attempt 1 provider openai model m .* inputTokens 5 outputTokens 6 nanoUsd 7/,
    ),
    expect.stringMatching(/kind settled .* attempt 2/),
  ]);
});
