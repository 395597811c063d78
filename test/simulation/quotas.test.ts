import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { type Settings, settingsSchema } from '#config/schema.ts';
import type { CallAxes, TerminalState } from '#shared/contracts/job.ts';
import { JobStore } from '#shared/jobs/job-store.ts';
import { type Charge, chargesOf, encodeCharges } from '#shared/quotas/charges.ts';
import { lookAtQuotas } from '#shared/quotas/look.ts';
import { keys } from '#shared/redis/keys.ts';
import { holds } from '../harness/property.ts';
import { RedisProcess } from '../harness/redis-process.ts';
import { type ModelCharge, type ModelLimit, QuotaModel } from './quota-model.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

type Customer = Settings['customers'][string];
type LimitGiven = Customer['limits'][number];

const quotaSettings = { counters_max: 1_000, recheck_ms: 30_000 };
const deadlineMs = 3_600_000;
/** The end of a leap day, just before a month begins: calendars have their edges here. */
const startMs = Date.UTC(2028, 1, 29, 23, 58, 30);
const unitMs: Record<string, number> = {
  ...{ s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 },
  ...{ w: 604_800_000, M: 2_592_000_000, Y: 31_536_000_000 },
};

const dimension = fc.constantFrom('requests', 'tokens', 'input_tokens', 'output_tokens');
const axis = fc.constantFrom('key', 'user', 'feature', 'model', 'provider');
const windowed = fc
  .record({
    dimension,
    amount: fc.integer({ min: 1, max: 6 }),
    window: fc.constantFrom('1s', '1m', '90s', '1h'),
    algorithm: fc.constantFrom('sliding_window', 'sliding_window', 'token_bucket', 'leaky_bucket'),
    burst: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
  })
  .map(({ dimension: counted, amount, burst, ...rest }) => {
    const scale = counted === 'requests' ? 1 : 40;
    const held = rest.algorithm === 'token_bucket' && burst ? { burst: burst * scale } : {};
    return { ...rest, ...held, [counted]: amount * scale };
  });
const calendar = fc
  .record({
    dimension,
    amount: fc.integer({ min: 1, max: 6 }),
    window: fc.constantFrom('1m', '1h', '1d', '1w', '1M', '1Y'),
  })
  .map(({ dimension: counted, amount, window }) => ({
    window,
    calendar: true,
    [counted]: amount * (counted === 'requests' ? 1 : 40),
  }));
const atOnce = fc.integer({ min: 1, max: 3 }).map((concurrency) => ({ concurrency }));
const limit = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: windowed },
      { weight: 2, arbitrary: calendar },
      { weight: 1, arbitrary: atOnce },
    ),
    fc.uniqueArray(axis, { maxLength: 2 }),
    fc.constantFrom({}, {}, { model: 'gpt-*' }, { user: ['ann', 'b*'] }),
    fc.constantFrom('reject', 'queue'),
  )
  .map(([counts, per, match, on_full]) => ({ ...counts, per, match, on_full }));
const limits = fc.uniqueArray(limit, {
  minLength: 1,
  maxLength: 4,
  selector: ({ on_full: _full, ...rest }) =>
    JSON.stringify(rest).replaceAll(/"(burst|\w*tokens|requests|concurrency)":\d+/g, '$1'),
});

const call = fc.record({
  key: fc.constantFrom('dev', 'ops'),
  user: fc.constantFrom(undefined, 'ann', 'ben', 'cat'),
  feature: fc.constantFrom(undefined, 'search'),
  model: fc.constantFrom('gpt-5', 'o3'),
  input: fc.integer({ min: 0, max: 60 }),
  max: fc.integer({ min: 0, max: 60 }),
});
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('accept' as const), call }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('begin' as const), which: fc.nat() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      which: fc.nat(),
      state: fc.constantFrom<TerminalState>('succeeded', 'succeeded', 'failed', 'cancelled'),
      usage: fc.option(
        fc.record({ input: fc.integer({ min: 0, max: 90 }), output: fc.integer({ min: 0, max: 90 }) }),
        {
          nil: undefined,
          freq: 4,
        },
      ),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(1, 17, 400, 1_000, 20_000, 61_000, 400_000, 3_600_000, 40_000_000),
    }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What a limit of the configuration is to the model, read by the test's own rules. */
function modelCharge(
  tier: string,
  given: LimitGiven,
  index: number,
  { key, user, feature, model, input, max }: Call,
): ModelCharge | undefined {
  if (given.match.model && !model.startsWith('gpt-')) return undefined;
  if (given.match.user && user !== 'ann' && !user?.startsWith('b')) return undefined;
  const values: Record<string, string | undefined> = { key, user, feature, model, provider: 'p' };
  const tokens = {
    requests: 1,
    concurrency: 1,
    tokens: input + max,
    input_tokens: input,
    output_tokens: max,
  };
  const counted = (Object.keys(tokens) as (keyof typeof tokens)[]).find((name) => given[name] !== undefined)!;
  const { window = '1m', algorithm } = given;
  const counting = {
    ...{ sliding_window: 'slots' as const, token_bucket: 'bucket' as const, leaky_bucket: 'even' as const },
  }[algorithm];
  const amount = given[counted]!;
  const limited: ModelLimit = {
    counter: [tier, index, ...given.per.map((name) => values[name] ?? '-')].join(' '),
    counting: counted === 'concurrency' ? 'open' : given.calendar ? 'calendar' : counting,
    dimension: counted,
    amount,
    burst: given.burst ?? amount,
    windowMs: Number(window.slice(0, -1)) * unitMs[window.at(-1)!]!,
    unit: window.at(-1)!,
    full: given.on_full,
  };
  return { limit: limited, cost: tokens[counted] };
}

interface Open {
  jobId: string;
  charges: Charge[];
  modelled: ModelCharge[];
  begun: boolean;
}

let tenants = 0;
/** What the histories met. */
const met = new Set<string>();

/** The scripts and the model side by side. */
class Pair {
  readonly #tenant = `t${tenants++}`;
  readonly #customers: Settings['customers'];
  readonly #model = new QuotaModel();
  readonly #store = new JobStore(redis, settingsSchema.shape.jobs.parse({}), {
    suppliedNowMs: () => this.#nowMs,
  });
  #nowMs = startMs;
  #jobs = 0;
  #open: Open[] = [];
  #seen = new Map<string, { charge: Charge; modelled: ModelCharge }>();

  constructor(customer: unknown) {
    this.#customers = settingsSchema.shape.customers.parse({ [this.#tenant]: customer });
  }

  #modelled(made: Call): ModelCharge[] {
    const customer = this.#customers[this.#tenant]!;
    const own = customer.keys.find(({ id }) => id === made.key)!;
    const of = (tier: string, list: readonly LimitGiven[]) =>
      list.flatMap((given, index) => modelCharge(tier, given, index, made) ?? []);
    return [...of('customer', customer.limits), ...of(`key ${own.id}`, own.limits)];
  }

  async accept(made: Call) {
    const axes: CallAxes = { key: made.key, user: made.user, feature: made.feature };
    const tokens = { input: made.input, output: 0, max: made.max, linear: made.input };
    const place = { provider: 'p', model: made.model };
    const reckoned = { input: made.input, output: made.max, isOpen: false, price: () => 0 };
    const charges = chargesOf(this.#customers, this.#tenant, { axes, place, ...reckoned });
    const modelled = this.#modelled(made);
    expect(charges.map(({ cost }) => cost)).toEqual(modelled.map(({ cost }) => cost));
    const jobId = `job_${this.#jobs++}`;
    const accepted = await this.#store.accept({
      tenant: this.#tenant,
      jobId,
      request: {
        ...{ endpoint: '/v1/chat/completions', pool: 'q', body: '{}', headers: {}, priority: 0 },
        ...{ delivery: 'retry', metadata: {}, axes, tokens, ...place },
      },
      ...{ idempotency: undefined, goneJob: undefined, waiter: undefined, runAtMs: undefined },
      ...{ depthLimit: 1_000, deadlineMs, quotas: encodeCharges(charges, quotaSettings) },
    });
    const expected = this.#model.accept(jobId, modelled, this.#nowMs, this.#nowMs + deadlineMs);
    const waits = accepted.kind === 'accepted' && (accepted.waitMs ?? 0) > 0;
    const seen =
      accepted.kind === 'accepted'
        ? { kind: 'accepted', waits }
        : { kind: accepted.kind, ...(accepted.kind === 'limited' ? { retryMs: accepted.retryMs } : {}) };
    expect(seen).toEqual(expected);
    met.add(waits ? 'waits' : accepted.kind);
    if (accepted.kind === 'accepted') this.#open.push({ jobId, charges, modelled, begun: false });
    for (const [index, charge] of charges.entries())
      this.#seen.set(modelled[index]!.limit.counter, { charge, modelled: modelled[index]! });
  }

  async begin(which: number) {
    const job = this.#open.filter(({ begun }) => !begun)[which % Math.max(1, this.#open.length)];
    if (!job) return;
    const { jobId } = job;
    const place = { provider: 'p', pool: 'q' };
    const holder = { token: jobId, owner: 'w', place, mayTakeOver: false, mayRunSuspect: false };
    const begun = await this.#store.begin({ tenant: this.#tenant, jobId, ...holder });
    if (begun.kind === 'late') return;
    expect(begun.kind).toBe(this.#model.begin(jobId, this.#nowMs) ? 'begun' : 'early');
    job.begun = begun.kind === 'begun';
    met.add(begun.kind);
  }

  async settle(which: number, state: TerminalState, given: { input: number; output: number } | undefined) {
    const job = this.#open[which % Math.max(1, this.#open.length)];
    if (!job) return;
    this.#open = this.#open.filter((each) => each !== job);
    const used = job.begun ? given : undefined;
    const ended = job.begun ? state : 'expired';
    const { jobId } = job;
    await this.#store.settle({
      tenant: this.#tenant,
      state: ended,
      head: {
        ...{
          job: jobId,
          state: ended,
          status: 200,
          contentType: 'a/b',
          headers: {},
          provider: 'p',
          model: 'm',
        },
        ...{ error: null, attempts: 1, queueMs: 0, providerMs: 0 },
      },
      body: Buffer.from(''),
      usage: used && { inputTokens: used.input, outputTokens: used.output },
      attempt: undefined,
    });
    const isKept = ended === 'succeeded' && !used;
    const { input, output } = used ?? { input: 0, output: 0 };
    const tokens: Record<string, number> = {
      tokens: input + output,
      input_tokens: input,
      output_tokens: output,
    };
    const actual = (name: string) => {
      if (name === 'requests') return job.begun ? 1 : 0;
      return isKept ? undefined : tokens[name];
    };
    this.#model.settle(jobId, actual, this.#nowMs);
  }

  pass(ms: number) {
    this.#nowMs += ms;
  }

  /** Every counter ever met stands as the model says. */
  async agree() {
    for (const { charge, modelled } of this.#seen.values()) {
      const text = encodeCharges([{ ...charge, cost: 0 }], quotaSettings)!;
      const [counted] = await lookAtQuotas(redis, this.#tenant, text, this.#nowMs);
      expect(counted!.used, modelled.limit.counter).toBe(this.#model.used(modelled, this.#nowMs));
    }
  }

  async run(each: Step) {
    if (each.do === 'accept') await this.accept(each.call);
    else if (each.do === 'begin') await this.begin(each.which);
    else if (each.do === 'settle') await this.settle(each.which, each.state, each.usage);
    else this.pass(each.ms);
  }

  async settleAll() {
    while (this.#open.length > 0) await this.settle(0, 'failed', undefined);
    await this.agree();
    const left = await redis.hgetall(`${keys.quota(this.#tenant)}open`);
    expect(left, 'nothing is open, nobody stands in line').toEqual({});
    expect(await redis.keys(`${keys.quota(this.#tenant)}w:*`)).toEqual([]);
  }
}

const customer = fc.tuple(limits, limits, limits).map(([own, dev, ops]) => ({
  limits: own,
  keys: [
    { id: 'dev', key: 'k1', limits: dev },
    { id: 'ops', key: 'k2', limits: ops },
  ],
}));

test('for random hierarchies, axes and histories, who is admitted, waits or is refused, and until when, is what an independent model says', async () => {
  await holds(
    80,
    fc.asyncProperty(
      customer,
      fc.array(step, { minLength: 15, maxLength: 60, size: 'max' }),
      async (given, steps) => {
        const pair = new Pair(given);
        for (const each of steps) await pair.run(each);
        await pair.agree();
        await pair.settleAll();
      },
    ),
  );
  expect([...met], 'the histories reach every kind of answer').toEqual(
    expect.arrayContaining(['accepted', 'waits', 'limited', 'too_large', 'begun', 'early']),
  );
});
