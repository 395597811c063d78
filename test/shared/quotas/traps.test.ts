import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { beforeAll, expect, test, vi } from 'vitest';
import { type Settings, settingsSchema } from '#config/schema.ts';
import type { CallAxes, TerminalState } from '#shared/contracts/job.ts';
import { JobStore } from '#shared/jobs/job-store.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { chargesOf, encodeCharges } from '#shared/quotas/charges.ts';
import { keys } from '#shared/redis/keys.ts';
import { holds } from '../../harness/property.ts';
import { RedisProcess } from '../../harness/redis-process.ts';

/*
 * Each trap of other gateways that concerns quotas has a test that begins with its name. Not here: shared window key for
 * different limits (charges.test.ts); headers on success and on 429 alike, constant or doubled Retry-After, wait queue
 * without maximum wait (test/path/quotas.test.ts); internal bookkeeping fields leaked to the provider
 * (test/path/budget-caps.test.ts).
 */
let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

let tenants = 0;
const countersMax = 3;

/** One tenant with two keys, and calls of one input and up to `max` output tokens, at 1 nano-USD a token. */
class Tenant {
  readonly id = `tenant${tenants++}`;
  readonly #customers: Settings['customers'];
  readonly #jobs: JobStore;
  nowMs: number | '' = 1_800_000_000_000;
  #count = 0;

  constructor(quotas: object) {
    const ids = [
      { id: 'dev', key: `${this.id}-dev` },
      { id: 'ops', key: `${this.id}-ops` },
    ];
    this.#customers = settingsSchema.shape.customers.parse({ [this.id]: { keys: ids, ...quotas } });
    const settings = settingsSchema.shape.jobs.parse({ lease_ms: 2_000, lease_beat_ms: 500 });
    this.#jobs = new JobStore(redis, settings, { suppliedNowMs: () => this.nowMs });
  }

  accept(more: { axes?: CallAxes; max?: number; runAtMs?: number; jobId?: string } = {}) {
    const { axes = { key: 'dev' }, max = 9, runAtMs, jobId = `job_${this.#count++}` } = more;
    const tokens = { input: 1, output: 0, max, linear: 1 };
    const place = { provider: 'p', model: 'm' };
    const call = { axes, place, input: 1, output: max, isOpen: false, price: () => 1 + max };
    const charges = chargesOf(this.#customers, this.id, call);
    return this.#jobs.accept({
      ...{ tenant: this.id, jobId, runAtMs, depthLimit: 10_000, deadlineMs: 600_000 },
      ...{ idempotency: undefined, goneJob: undefined, waiter: undefined },
      quotas: encodeCharges(charges, {
        counters_max: countersMax,
        recheck_ms: 30_000,
      }),
      request: {
        ...{ endpoint: '/v1/chat/completions', pool: 'q', body: '{}', headers: {}, priority: 0 },
        ...{ delivery: 'retry', metadata: {}, axes, tokens, ...place },
      },
    });
  }

  /** Accepts a call that must be admitted; its id. */
  async admit(more: Parameters<Tenant['accept']>[0] = {}): Promise<string> {
    const accepted = await this.accept(more);
    if (accepted.kind !== 'accepted') throw new Error(`not admitted: ${accepted.kind}`);
    return accepted.jobId;
  }

  begin(jobId: string, token = 'a') {
    const holder = {
      token,
      owner: `worker ${token}`,
      place: { provider: 'p', pool: 'q' },
      mayTakeOver: true,
      mayRunSuspect: true,
    };
    return this.#jobs.begin({ tenant: this.id, jobId, ...holder });
  }

  settle(jobId: string, state: TerminalState, outputTokens?: number) {
    const usage = outputTokens === undefined ? undefined : { inputTokens: 1, outputTokens };
    return this.#jobs.settle({
      tenant: this.id,
      state,
      head: {
        ...{ job: jobId, state, status: 200, contentType: 'a/b', headers: {}, provider: 'p', model: 'm' },
        ...{ error: null, attempts: 1, queueMs: 0, providerMs: 0 },
        ...(usage ? { costNanoUsd: 1 + usage.outputTokens } : {}),
      },
      body: Buffer.from(''),
      usage,
      attempt: undefined,
    });
  }

  /** What all windows of the tenant count together, and what is open. */
  async counted(): Promise<{ windows: number; open: number }> {
    const names = await redis.keys(`${keys.quota(this.id)}c:*`);
    const totals = await Promise.all(names.map((name) => redis.hget(name, 't')));
    const open = Object.values(await redis.hgetall(`${keys.quota(this.id)}open`));
    const sum = (values: (string | null)[]) => values.reduce((all, value) => all + Number(value), 0);
    return { windows: sum(totals), open: sum(open) };
  }

  async ledger(): Promise<number> {
    const rows = await redis.xrange(keys.ledger(this.id), '-', '+');
    const field = (row: string[], name: string) => Number(row[row.indexOf(name) + 1]);
    return rows.reduce((sum, [, row]) => sum + field(row, 'nanoUsd'), 0);
  }
}

test('double burst at a fixed-window edge: no window of a minute, wherever it begins, holds more than the limit', async () => {
  const limit = 5;
  const gaps = fc.array(fc.constantFrom(0, 1, 300, 999, 1_000, 7_000, 59_000, 61_000), {
    minLength: 40,
    maxLength: 80,
  });
  await holds(
    10,
    fc.asyncProperty(gaps, async (pauses) => {
      const tenant = new Tenant({ limits: [{ requests: limit }] });
      const admitted: number[] = [];
      for (const pause of pauses) {
        tenant.nowMs = Number(tenant.nowMs) + pause;
        if ((await tenant.accept()).kind === 'accepted') admitted.push(Number(tenant.nowMs));
      }
      for (const from of admitted)
        expect(admitted.filter((at) => at >= from && at < from + 60_000).length).toBeLessThanOrEqual(limit);
    }),
  );
});

test('token overshoot of n concurrent calls: of 1,000 calls at once against a budget for 10, exactly 10 are admitted', async () => {
  const tenant = new Tenant({ budgets: [{ usd: 0.0000001 * 10 }], limits: [] });
  tenant.nowMs = '';
  const answers = await Promise.all(Array.from({ length: 1_000 }, () => tenant.accept({ max: 99 })));
  const admitted = answers.flatMap((answer) => (answer.kind === 'accepted' ? [answer.jobId] : []));
  expect(admitted).toHaveLength(10);
  expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(['accepted', 'limited']));
  for (const [index, jobId] of admitted.entries()) {
    await tenant.begin(jobId);
    await tenant.settle(jobId, index % 2 ? 'succeeded' : 'failed', index % 2 ? 20 : undefined);
  }
  expect(await tenant.ledger()).toBe(5 * 21);
  expect((await tenant.counted()).windows, 'nothing is reserved any more: the budget is the ledger').toBe(
    5 * 21,
  );
});

test.each<[string, TerminalState, number | undefined, number]>([
  ['failure', 'failed', undefined, 0],
  ['client abort', 'cancelled', undefined, 0],
  ['stream cut', 'failed', 4, 5],
  ['success', 'succeeded', 4, 5],
])(
  'reservation not refunded on %s: what is left is what was really used',
  async (_name, state, output, used) => {
    const tenant = new Tenant({ limits: [{ tokens: 1_000 }, { concurrency: 3 }] });
    const jobId = await tenant.admit({ max: 500 });
    expect(await tenant.counted()).toEqual({ windows: 501, open: 1 });
    await tenant.begin(jobId);
    await tenant.settle(jobId, state, output);
    expect(await tenant.counted()).toEqual({ windows: used, open: 0 });
  },
);

test('reservation not refunded on expiry: what never began costs nothing, not even a request', async () => {
  const tenant = new Tenant({ limits: [{ requests: 5 }, { tokens: 500 }] });
  await tenant.settle(await tenant.admit(), 'expired');
  expect((await tenant.counted()).windows).toBe(0);
});

test('concurrency slot leaked by a crash: whoever ends the job frees its place, once', async () => {
  const tenant = new Tenant({ limits: [{ concurrency: 1 }] });
  const jobId = await tenant.admit();
  await tenant.begin(jobId, 'a');
  tenant.nowMs = Number(tenant.nowMs) + 2_001;
  expect(await tenant.begin(jobId, 'b')).toMatchObject({ kind: 'begun', job: { attempt: 2 } });
  expect(await tenant.counted()).toMatchObject({ open: 1 });
  expect((await tenant.accept()).kind).toBe('limited');
  await tenant.settle(jobId, 'succeeded', 1);
  await tenant.settle(jobId, 'succeeded', 1);
  expect(await tenant.counted()).toMatchObject({ open: 0 });
  await tenant.admit();
});

test('refused requests counted as use: however many are refused, as many are admitted as if none had been', async () => {
  const tenant = new Tenant({ limits: [{ requests: 2 }, { tokens: 15, window: '1h' }] });
  await tenant.admit();
  for (let calls = 0; calls < 50; calls++) expect((await tenant.accept()).kind).toBe('limited');
  expect((await tenant.counted()).windows, 'one request and its tokens').toBe(11);
  tenant.nowMs = Number(tenant.nowMs) + 3_700_000;
  await tenant.admit();
});

test('node clocks instead of Redis TIME: a process whose clock is a day ahead admits no more than the others', async () => {
  const tenant = new Tenant({ limits: [{ requests: 1 }] });
  tenant.nowMs = '';
  await tenant.admit();
  vi.useFakeTimers({ now: systemClock.nowMs() + 86_400_000, toFake: ['Date'] });
  try {
    expect((await tenant.accept()).kind).toBe('limited');
  } finally {
    vi.useRealTimers();
  }
});

test('keys without a hash tag on Redis Cluster: all that is counted of a tenant lies on one slot, and ends by itself', async () => {
  const tenant = new Tenant({
    limits: [
      { requests: 5, per: ['user'] },
      { requests: 5, calendar: true },
      { tokens: 500, algorithm: 'token_bucket' },
      { tokens: 500, algorithm: 'leaky_bucket' },
    ],
    budgets: [{ usd: 1 }],
  });
  await tenant.admit({ axes: { key: 'dev', user: 'ann' } });
  const counters = await redis.keys(`*${tenant.id}*quota:*`);
  expect(counters.length).toBe(6);
  for (const key of counters) {
    expect(key).toContain(`{${tenant.id}}`);
    expect(await redis.pttl(key), key).toBeGreaterThan(0);
  }
});

test('org limit applied per key: a limit of the customer is one for all of its keys', async () => {
  const tenant = new Tenant({ limits: [{ requests: 1 }] });
  await tenant.admit({ axes: { key: 'dev' } });
  expect((await tenant.accept({ axes: { key: 'ops' } })).kind).toBe('limited');
});

test('TPM-only config never limited, TPM parsed and not enforced: tokens alone hold calls back', async () => {
  const tenant = new Tenant({ limits: [{ output_tokens: 20 }] });
  await tenant.admit();
  await tenant.admit();
  expect((await tenant.accept()).kind).toBe('limited');
});

test('reservation floor above the limit: only what could never fit is refused for good', async () => {
  const tenant = new Tenant({ limits: [{ tokens: 10 }] });
  expect((await tenant.accept({ max: 10 })).kind).toBe('too_large');
  expect((await tenant.accept({ max: 9 })).kind).toBe('accepted');
});

test('names that callers choose cannot fill Redis: beyond counters_max at once, a new one is refused', async () => {
  const tenant = new Tenant({ limits: [{ requests: 5, per: ['user'] }] });
  const by = (user: string) => tenant.accept({ axes: { key: 'dev', user } });
  for (const user of ['ann', 'ben', 'cat']) expect((await by(user)).kind).toBe('accepted');
  expect(await by('dan')).toMatchObject({ kind: 'crowded', used: countersMax });
  expect((await by('ann')).kind, 'who is counted already goes on').toBe('accepted');
  tenant.nowMs = Number(tenant.nowMs) + 120_000;
  expect((await by('dan')).kind).toBe('accepted');
});

test('a quota is charged once, however often each script is sent, and by those that wait when they begin', async () => {
  const tenant = new Tenant({ limits: [{ tokens: 20, on_full: 'queue' }, { concurrency: 9 }] });
  const first = await tenant.admit({ jobId: 'job_x', max: 19 });
  await tenant.admit({ jobId: 'job_x', max: 19 });
  expect(await tenant.counted()).toEqual({ windows: 20, open: 1 });
  const second = await tenant.accept({ jobId: 'job_y', max: 19 });
  expect(second).toMatchObject({ kind: 'accepted', jobId: 'job_y' });
  await tenant.accept({ jobId: 'job_y', max: 19 });
  expect(await tenant.counted()).toEqual({ windows: 20, open: 1 });
  for (let sent = 0; sent < 2; sent++) expect((await tenant.begin('job_y')).kind).toBe('early');
  await tenant.begin(first);
  expect(await tenant.settle(first, 'failed')).toMatchObject({ kind: 'settled', woken: ['job_y'] });
  await tenant.settle(first, 'failed');
  expect(await tenant.counted()).toEqual({ windows: 0, open: 0 });
  for (let sent = 0; sent < 2; sent++) expect((await tenant.begin('job_y')).kind).toBe('begun');
  expect(await tenant.counted()).toEqual({ windows: 20, open: 1 });
  for (let sent = 0; sent < 2; sent++) await tenant.settle('job_y', 'succeeded', 4);
  expect(await tenant.counted()).toEqual({ windows: 5, open: 0 });
  expect(await redis.keys(`${keys.quota(tenant.id)}w:*`), 'nobody stands in line').toEqual([]);
});

test('a scheduled call is charged when it begins, not when it is accepted', async () => {
  const tenant = new Tenant({ limits: [{ requests: 1 }] });
  const runAtMs = Number(tenant.nowMs) + 120_000;
  const later = await tenant.admit({ runAtMs });
  const now = await tenant.admit();
  await tenant.begin(now);
  await tenant.settle(now, 'succeeded', 1);
  tenant.nowMs = runAtMs;
  expect((await tenant.begin(later)).kind).toBe('begun');
  expect((await tenant.accept()).kind).toBe('limited');
});
