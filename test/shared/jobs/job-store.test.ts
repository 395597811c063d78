import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { beforeAll, describe, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import {
  type Attempt,
  type Delivery,
  isTerminal,
  type TerminalState,
  terminalStates,
} from '#shared/contracts/job.ts';
import { type BegunJob, JobStore } from '#shared/jobs/job-store.ts';
import { keys } from '#shared/redis/keys.ts';
import { holds } from '../../harness/property.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { JobModel, limits } from './job-model.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const settings = {
  ...settingsSchema.shape.jobs.parse({}),
  lease_ms: limits.leaseMs,
  crashes_max: limits.crashesMax,
  sweep_first_ms: limits.firstLookMs,
};
const body = '{"model":"m"}';
const request = (delivery: Delivery) => ({
  endpoint: '/v1/chat/completions' as const,
  model: 'm',
  provider: 'p',
  pool: 'q',
  body,
  headers: {},
  priority: 5,
  delivery,
  metadata: {},
  tokens: { input: 1, output: 1, max: 1, linear: 1 },
  axes: { key: 'test' },
});
const attemptOf = (attempt: number): Attempt => ({
  attempt,
  credential: 'c',
  started_at: 1,
  duration_ms: 1,
  status: 200,
  result: 'succeeded',
});

let tenants = 0;
/** Kinds of answers that the sequences met. */
const met = new Set<string>();

function same(actual: unknown, expected: unknown): void {
  expect(actual).toEqual(expected);
  met.add(
    typeof expected === 'object' && expected !== null
      ? (expected as { kind: string }).kind
      : String(expected),
  );
}

/** The scripts and the model side by side: every command goes to both, and both must answer the same. */
class Pair {
  readonly tenant = `tenant${tenants++}`;
  readonly model = new JobModel();
  nowMs = 1_800_000_000_000;
  readonly #store = new JobStore(redis, settings, { suppliedNowMs: () => this.nowMs });

  async accept(
    jobId: string,
    keyHash: string,
    fingerprint: string,
    waiter: string,
    deadlineMs: number,
    delivery: Delivery,
    startsInMs: number,
  ) {
    const runAtMs = startsInMs > 0 ? this.nowMs + startsInMs : undefined;
    const idempotency = keyHash ? { keyHash, fingerprint } : undefined;
    const options = { idempotency, waiter: waiter || undefined, deadlineMs };
    const accepted = await this.#store.accept({
      tenant: this.tenant,
      jobId,
      request: request(delivery),
      goneJob: undefined,
      depthLimit: limits.depthMax,
      runAtMs,
      ...options,
    });
    same(accepted, this.model.accept(this.nowMs, jobId, { ...options, delivery, runAtMs }));
  }

  async join(jobId: string, waiter: string) {
    same(await this.#store.join(this.tenant, jobId, waiter), this.model.join(jobId, waiter));
  }

  async leave(jobId: string, waiter: string) {
    same(await this.#store.leave(this.tenant, jobId, waiter), this.model.leave(jobId, waiter));
  }

  async begin(jobId: string, token: string, owner: string, mayTakeOver: boolean, mayRunSuspect: boolean) {
    const holder = { token, owner, mayTakeOver, mayRunSuspect };
    const begun = await this.#store.begin({
      tenant: this.tenant,
      jobId,
      place: { provider: 'p', pool: 'q' },
      ...holder,
    });
    const short =
      begun.kind === 'begun'
        ? { kind: 'begun', attempt: begun.job.attempt, refusals: begun.job.refusals }
        : begun;
    same(short, this.model.begin(this.nowMs, jobId, holder));
    if (begun.kind === 'begun')
      expect(begun.job satisfies BegunJob).toMatchObject({ body, model: 'm', nowMs: this.nowMs });
  }

  async heartbeat(jobId: string, token: string) {
    same(
      await this.#store.heartbeat(this.tenant, jobId, token),
      this.model.heartbeat(this.nowMs, jobId, token),
    );
  }

  async abandon(jobId: string, token: string, refusal: boolean, delayMs: number) {
    const attempt = attemptOf(this.model.jobs.get(jobId)?.attempt ?? 0);
    await this.#store.abandon(this.tenant, jobId, token, { attempt, refusal, waitReason: 'retry', delayMs });
    this.model.abandon(this.nowMs, jobId, token, refusal, delayMs);
  }

  async giveBack(jobId: string, token: string) {
    await this.#store.giveBack(this.tenant, jobId, token);
    this.model.giveBack(jobId, token);
  }

  async settle(jobId: string, state: TerminalState, onlyWaiting: boolean, late: boolean, holder: string) {
    const current = this.model.jobs.get(jobId)?.attempt ?? 0;
    // As in the product: whoever may end only waiting jobs has made no attempt.
    const attempt = onlyWaiting || current === 0 ? undefined : Math.max(1, current - (late ? 1 : 0));
    const usage = attempt === undefined ? undefined : { inputTokens: 1, outputTokens: 2 };
    const head = {
      job: jobId,
      state,
      status: 200,
      contentType: 'application/json',
      headers: {},
      provider: 'p',
      model: 'm',
      error: null,
      attempts: current,
      queueMs: 0,
      providerMs: 0,
    };
    const settled = await this.#store.settle({
      tenant: this.tenant,
      state,
      head,
      body: Buffer.from(state),
      usage,
      attempt: attempt === undefined ? undefined : attemptOf(attempt),
      onlyWaiting,
      holder,
    });
    const options = { onlyWaiting, holder, attempt, hasUsage: usage !== undefined };
    same(settled, this.model.settle(jobId, state, options));
  }

  wait(ms: number) {
    this.nowMs += ms;
  }

  async requestCancel(jobId: string) {
    same(await this.#store.requestCancel(this.tenant, jobId), this.model.requestCancel(jobId));
  }

  async reclaim(jobId: string, owner: string) {
    same(await this.#store.reclaim(this.tenant, jobId, owner), this.model.reclaim(jobId, owner));
  }

  /** What is stored is what the model says, and the invariants hold. */
  async agree() {
    expect(Number((await redis.get(keys.depth(this.tenant))) ?? 0)).toBe(this.model.depth);
    expect((await redis.zrange(keys.open(this.tenant), 0, '-1')).toSorted()).toEqual(
      this.model.open.toSorted(),
    );
    expect((await this.#store.due(this.tenant)).jobIds.toSorted()).toEqual(
      this.model.due(this.nowMs).toSorted(),
    );
    for (const [id, job] of this.model.jobs) {
      const view = (await this.#store.view(this.tenant, id))!;
      expect(view).toMatchObject({
        state: job.state,
        attempt: job.attempt,
        owner: job.lease?.owner,
        leaseUntilMs: job.lease?.untilMs,
      });
      expect(view.attempts).toHaveLength(job.attempts);
      expect(job.ends.length).toBe(isTerminal(job.state) ? 1 : 0);
      expect((await this.#store.outcome(this.tenant, id))?.body.toString()).toBe(job.ends[0]);
      const payload = await redis.hget(keys.job(this.tenant, id), 'request');
      expect(payload).toBe(isTerminal(job.state) ? null : body);
    }
    const rows = (await redis.xrange(keys.ledger(this.tenant), '-', '+')).map(([, fields]) => fields[1]);
    expect(rows.filter((kind) => kind === 'settled')).toHaveLength(this.model.settledRows);
    expect(rows.filter((kind) => kind === 'wasted')).toHaveLength(this.model.wastedRows);
  }

  async settleAll() {
    for (const jobId of this.model.open) await this.settle(jobId, 'failed', false, false, '');
    await this.agree();
    expect(this.model.depth).toBe(0);
  }
}

const job = fc.constantFrom('job_a', 'job_b', 'job_c', 'job_d');
const token = fc.constantFrom('t1', 't2', 't3');
const owner = fc.constantFrom('w1', 'w2');
const waiter = fc.constantFrom('i1', 'i2', 'i11');
const delivery = fc.constantFrom<Delivery>('retry', 'retry', 'at_most_once');
type Step = (pair: Pair) => unknown;
const step = (name: string, run: Step) => Object.assign(run, { toString: () => name });

/** One command with its arguments; its text is what a counterexample shows. */
function command<Args extends unknown[]>(
  name: keyof Pair,
  ...args: { [Index in keyof Args]: fc.Arbitrary<Args[Index]> }
): fc.Arbitrary<Step> {
  return fc
    .tuple(...(args as fc.Arbitrary<unknown>[]))
    .map((values) =>
      step(`${name}(${values.join(', ')})`, (pair) =>
        (pair[name] as (...all: unknown[]) => unknown)(...values),
      ),
    );
}

const anyStep = fc.oneof(
  {
    weight: 5,
    arbitrary: command(
      'accept',
      job,
      fc.constantFrom('', '', 'k1', 'k2'),
      fc.constantFrom('f1', 'f2'),
      fc.oneof(fc.constant(''), waiter),
      fc.constantFrom(5_000, 1e9),
      delivery,
      fc.constantFrom(0, 0, 0, 4_000),
    ),
  },
  { weight: 10, arbitrary: command('begin', job, token, owner, fc.boolean(), fc.boolean()) },
  { weight: 3, arbitrary: command('heartbeat', job, token) },
  { weight: 4, arbitrary: command('abandon', job, token, fc.boolean(), fc.constantFrom(0, 0, 4_000)) },
  { weight: 1, arbitrary: command('giveBack', job, token) },
  {
    weight: 3,
    arbitrary: command(
      'settle',
      job,
      fc.constantFrom(...terminalStates),
      fc.boolean(),
      fc.boolean(),
      fc.constantFrom('', '', 't1'),
    ),
  },
  { weight: 2, arbitrary: command('join', job, waiter) },
  { weight: 2, arbitrary: command('leave', job, waiter) },
  { weight: 2, arbitrary: command('requestCancel', job) },
  { weight: 2, arbitrary: command('reclaim', job, owner) },
  {
    weight: 6,
    arbitrary: fc
      .constantFrom(1, 4_000, 20_001, 60_000)
      .map((ms) => step(`wait(${ms})`, (pair) => pair.wait(ms))),
  },
  { weight: 2, arbitrary: fc.constant(step('agree()', (pair) => pair.agree())) },
);

const answers = [
  ...[
    'accepted',
    'joined',
    'mismatch',
    'queue_full',
    'begun',
    'busy',
    'late',
    'early',
    'suspect',
    'cancelled',
    'unknown',
    'crashed',
    'settled',
    'gone',
  ],
  ...[
    'already',
    'running',
    'held',
    'cancel',
    'lost',
    'requested',
    'queued',
    'waiting',
    'reclaimed',
    'other',
    '-1',
  ],
];

describe('the scripts of the job records and their model', () => {
  test('agree about every sequence of commands: one end per job, a depth that returns to zero, a ledger that adds up', async () => {
    await holds(
      150,
      fc.asyncProperty(fc.array(anyStep, { minLength: 20, maxLength: 80, size: 'max' }), async (steps) => {
        const pair = new Pair();
        for (const each of steps) await each(pair);
        await pair.agree();
        await pair.settleAll();
      }),
    );
    expect([...met], 'the sequences reach every kind of answer').toEqual(expect.arrayContaining(answers));
  });
});
