import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import type { CallAxes, TerminalState, Usage } from '#shared/contracts/job.ts';
import { JobStore, type Settlement } from '#shared/jobs/job-store.ts';
import { noteLostAttempt } from '#shared/jobs/note-lost.ts';
import { newId } from '#shared/kernel/ids.ts';
import { readUsage } from '#shared/usage/read-usage.ts';
import { reconcileDay } from '#shared/usage/reconcile.ts';
import { addCounters, noCounters, type UsageCounters } from '#shared/usage/usage-cell.ts';
import { type UsageGroup, usageGroups } from '#shared/usage/usage-query.ts';
import { holds } from '../../harness/property.ts';
import { RedisProcess } from '../../harness/redis-process.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const jobsSettings = settingsSchema.shape.jobs.parse({});
const dayMs = 86_400_000;
let tenants = 0;

/** What one attempt used; without a cost, its price is not known. */
interface Spent {
  usage: Usage;
  cost: number | undefined;
}

interface PlannedJob {
  axes: CallAxes;
  place: { provider: string; model: string };
  /** Attempts whose worker was killed after it had streamed this much. */
  lost: Spent[];
  ending: { state: TerminalState; spent: Spent | undefined };
  /** An answer of an attempt that comes when the job has ended. */
  late: Spent | undefined;
  sentTwice: boolean;
}

const spent: fc.Arbitrary<Spent> = fc.record({
  usage: fc
    .tuple(fc.nat(2_000_000), fc.nat(1_000), fc.nat(100_000))
    .map(([plain, cachedInputTokens, outputTokens]) => ({
      inputTokens: plain + cachedInputTokens,
      cachedInputTokens,
      outputTokens,
    })),
  // Up to amounts that Lua would write in exponential form, though not so many that they cannot be added up exactly.
  cost: fc.option(fc.oneof(fc.integer({ min: 0, max: 1e9 }), fc.integer({ min: 0, max: 2e14 })), {
    nil: undefined,
  }),
});
const ending = fc.oneof(
  fc.record({ state: fc.constant('succeeded' as const), spent: fc.option(spent, { nil: undefined }) }),
  fc.record({
    state: fc.constantFrom('failed' as const, 'cancelled' as const),
    spent: fc.option(spent, { nil: undefined }),
  }),
  fc.record({
    state: fc.constantFrom('expired' as const, 'outcome_unknown' as const),
    spent: fc.constant(undefined),
  }),
);
const job: fc.Arbitrary<PlannedJob> = fc.record({
  axes: fc.record(
    {
      key: fc.constantFrom('k1', 'k2'),
      team: fc.constantFrom('red', 'blue'),
      user: fc.constantFrom('ann', 'bob', '=HYPERLINK()', 'línea "ñ"\n'),
      feature: fc.constantFrom('chat', 'search'),
    },
    { requiredKeys: ['key'] },
  ),
  place: fc.constantFrom(
    { provider: 'p', model: 'm' },
    { provider: 'p', model: 'n' },
    { provider: 'q', model: 'm' },
  ),
  lost: fc.array(spent, { maxLength: 2 }),
  ending,
  late: fc.option(spent, { nil: undefined }),
  sentTwice: fc.boolean(),
});

function settlementOf(
  tenant: string,
  jobId: string,
  planned: PlannedJob,
  attempt: number,
  what: PlannedJob['ending'],
): Settlement {
  const { state } = what;
  return {
    tenant,
    state,
    body: Buffer.from('{}'),
    usage: what.spent?.usage,
    attempt: { attempt, credential: 'c', started_at: 1, duration_ms: 1, status: 200, result: state },
    head: {
      ...planned.place,
      job: jobId,
      state,
      status: 200,
      contentType: 'application/json',
      headers: {},
      error: null,
      attempts: attempt,
      queueMs: 0,
      providerMs: 1,
      ...(what.spent?.cost === undefined ? {} : { costNanoUsd: what.spent.cost }),
    },
  };
}

/** Runs one job through the scripts as its plan says. */
async function play(store: JobStore, tenant: string, planned: PlannedJob): Promise<string> {
  const jobId = newId('job');
  await store.accept({
    tenant,
    jobId,
    idempotency: undefined,
    goneJob: undefined,
    waiter: undefined,
    depthLimit: 1_000,
    deadlineMs: 60_000,
    runAtMs: undefined,
    request: {
      ...planned.place,
      endpoint: '/v1/chat/completions',
      pool: 'x',
      body: '{}',
      headers: {},
      priority: 0,
      delivery: 'retry',
      metadata: {},
      tokens: { input: 1, output: 1, max: 1, linear: 1 },
      axes: planned.axes,
    },
  });
  const times = planned.sentTwice ? 2 : 1;
  for (const [index, { usage, cost }] of planned.lost.entries())
    for (let time = 0; time < times; time++)
      await noteLostAttempt(redis, tenant, jobId, index + 1, usage, cost);
  const last = planned.lost.length + 1;
  for (let time = 0; time < times; time++)
    await store.settle(settlementOf(tenant, jobId, planned, last, planned.ending));
  const late = { state: 'succeeded' as const, spent: planned.late };
  if (planned.late)
    for (let time = 0; time < times; time++)
      await store.settle(settlementOf(tenant, jobId, planned, last + 1, late));
  return jobId;
}

/** What the plan says should be counted, reckoned without the scripts. */
function expectedOf({ lost, ending: { state, spent: own }, late }: PlannedJob): UsageCounters {
  const wasted = [...lost, ...(late ? [late] : [])];
  const all = [...wasted, ...(own ? [own] : [])];
  return {
    calls: 1,
    failures: state === 'succeeded' || state === 'cancelled' ? 0 : 1,
    inputTokens: own?.usage.inputTokens ?? 0,
    cachedTokens: own?.usage.cachedInputTokens ?? 0,
    outputTokens: own?.usage.outputTokens ?? 0,
    nanoUsd: own?.cost ?? 0,
    unpriced: all.filter(({ cost }) => cost === undefined).length,
    wastedTokens: wasted.reduce((sum, { usage }) => sum + usage.inputTokens + usage.outputTokens, 0),
    wastedNanoUsd: wasted.reduce((sum, { cost }) => sum + (cost ?? 0), 0),
  };
}

const sumOf = (all: readonly UsageCounters[]) => {
  const sum = noCounters();
  for (const each of all) addCounters(sum, each);
  return sum;
};

async function redisDay(): Promise<number> {
  const [seconds] = await redis.time();
  return Math.floor((Number(seconds) * 1_000) / dayMs);
}

test('usage, ledger and the jobs themselves agree, however jobs end, and by whatever they are grouped', async () => {
  const plans = fc.array(job, { minLength: 1, maxLength: 12 });
  const grouping = fc.subarray([...usageGroups], { minLength: 0 });
  const property = fc.asyncProperty(plans, grouping, async (planned, groupBy) => {
    const tenant = `t${tenants++}`;
    const store = new JobStore(redis, jobsSettings);
    const fromDay = await redisDay();
    const ids: string[] = [];
    for (const each of planned) ids.push(await play(store, tenant, each));
    const toDay = await redisDay();

    const expected = sumOf(planned.map(expectedOf));
    const { rows, total } = await readUsage(redis, [tenant], { groupBy, fromDay, toDay });
    expect(total).toEqual(expected);
    expect(sumOf(rows.map(({ counters }) => counters))).toEqual(expected);
    expect(new Set(rows.map(({ by }) => JSON.stringify(by))).size).toBe(rows.length);
    for (let day = fromDay; day <= toDay; day++) expect(await reconcileDay(redis, tenant, day)).toEqual([]);

    const views = await Promise.all(ids.map((id) => store.view(tenant, id)));
    const told = (count: (view: NonNullable<(typeof views)[number]>) => number | undefined) =>
      views.reduce((sum, view) => sum + (count(view!) ?? 0), 0);
    expect(told(({ usage }) => usage?.inputTokens)).toBe(expected.inputTokens);
    expect(told(({ usage }) => usage?.outputTokens)).toBe(expected.outputTokens);
    expect(told(({ head }) => head?.costNanoUsd)).toBe(expected.nanoUsd);
  });
  await holds(60, property);
});

test('each axis tells apart what its calls used, and nothing else', async () => {
  const tenant = `t${tenants++}`;
  const store = new JobStore(redis, jobsSettings);
  const day = await redisDay();
  const call = (axes: CallAxes, model: string, cost: number): PlannedJob => ({
    axes,
    place: { provider: 'p', model },
    lost: [],
    ending: { state: 'succeeded', spent: { usage: { inputTokens: 10, outputTokens: 1 }, cost } },
    late: undefined,
    sentTwice: false,
  });
  await play(store, tenant, call({ key: 'k1', user: 'ann', feature: 'chat' }, 'm', 1));
  await play(store, tenant, call({ key: 'k1', user: 'bob', team: 'red' }, 'm', 20));
  await play(store, tenant, call({ key: 'k2', user: 'ann', route: 'smart' }, 'n', 300));
  const costsBy = async (...groupBy: UsageGroup[]) => {
    const { rows } = await readUsage(redis, [tenant], { groupBy, fromDay: day, toDay: day + 1 });
    return Object.fromEntries(
      rows.map(({ by, counters }) => [Object.values(by).join(' '), counters.nanoUsd]),
    );
  };
  expect(await costsBy('key')).toEqual({ k1: 21, k2: 300 });
  expect(await costsBy('user')).toEqual({ ann: 301, bob: 20 });
  expect(await costsBy('user', 'model')).toEqual({ 'ann m': 1, 'bob m': 20, 'ann n': 300 });
  expect(await costsBy('team')).toEqual({ '': 301, red: 20 });
  expect(await costsBy('route', 'feature')).toEqual({ ' chat': 1, ' ': 20, 'smart ': 300 });
  expect(await costsBy()).toEqual({ '': 321 });
});

test('many users do not make many cells: beyond the bound they are "(other)", and the sums stay whole', async () => {
  const tenant = `t${tenants++}`;
  const cellsMax = 10;
  const store = new JobStore(redis, { ...jobsSettings, usage_cells_max: cellsMax });
  const day = await redisDay();
  const calls = 60;
  for (let index = 0; index < calls; index++)
    await play(store, tenant, {
      axes: { key: index % 2 === 0 ? 'k1' : 'k2', user: `user ${index}` },
      // Callers name models too, where a pool takes them by prefix.
      place: { provider: 'p', model: index < 40 ? 'm' : `m${index}` },
      lost: [],
      ending: { state: 'succeeded', spent: { usage: { inputTokens: 1, outputTokens: 2 }, cost: 3 } },
      late: undefined,
      sentTwice: false,
    });
  const { rows, total } = await readUsage(redis, [tenant], {
    groupBy: ['key', 'user', 'model'],
    fromDay: day,
    toDay: day + 1,
  });
  expect(total).toMatchObject({ calls, inputTokens: calls, outputTokens: 2 * calls, nanoUsd: 3 * calls });
  expect(rows.length).toBeLessThanOrEqual(cellsMax * 1.1 + 2);
  const callsOf = (wanted: object) =>
    rows.find(({ by }) => expect.objectContaining(wanted).asymmetricMatch(by))?.counters.calls;
  expect(callsOf({ key: 'k1', user: '(other)', model: 'm' })).toBe(15);
  expect(callsOf({ key: '(other)', user: '(other)', model: '(other)' })).toBeGreaterThan(10);
  const kept = await redis.pttl((await redis.keys(`*${tenant}}:usage:*`))[0]!);
  expect(kept).toBeGreaterThan(jobsSettings.usage_retention_days * dayMs);
});
