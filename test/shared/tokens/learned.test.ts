import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { JobStore } from '#shared/jobs/job-store.ts';
import { keys } from '#shared/redis/keys.ts';
import { type Learned, learnedField, parseLearned, safeOutput, untaught } from '#shared/tokens/learned.ts';
import { LearnedEstimates } from '#shared/tokens/learned-estimates.ts';
import { ManualClock } from '../../harness/manual-clock.ts';
import { holds } from '../../harness/property.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { until } from '../../harness/until.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const settings = { ...settingsSchema.shape.jobs.parse({}), learned_models_max: 3, learned_tenants_max: 2 };
const linear = 100;
let names = 0;

interface Sample {
  input: number;
  output: number;
}

/** Accepts and settles one call. */
async function call(
  tenant: string,
  { input, output }: Sample,
  { model = 'm', state = 'succeeded' }: { model?: string; state?: 'succeeded' | 'failed' } = {},
): Promise<void> {
  const store = new JobStore(redis, settings);
  const jobId = `job${names++}`;
  const where = { provider: 'p', model };
  await store.accept({
    tenant,
    jobId,
    idempotency: undefined,
    goneJob: undefined,
    waiter: undefined,
    depthLimit: 10,
    deadlineMs: 60_000,
    runAtMs: undefined,
    request: {
      ...where,
      endpoint: '/v1/chat/completions',
      pool: 'q',
      body: '{}',
      headers: {},
      priority: 0,
      delivery: 'retry',
      metadata: {},
      tokens: { input: linear, output: 1, max: 1, linear },
      axes: { key: 'test' },
    },
  });
  const settlement = {
    tenant,
    state,
    body: Buffer.from('{}'),
    usage: { inputTokens: input, outputTokens: output },
    attempt: { attempt: 1, credential: 'k', started_at: 0, duration_ms: 1, status: 200, result: state },
    head: {
      ...where,
      job: jobId,
      state,
      status: 200,
      contentType: 'application/json',
      headers: {},
      error: null,
      attempts: 1,
      queueMs: 0,
      providerMs: 0,
    },
  };
  // The second one comes too late, and teaches nothing.
  await store.settle(settlement);
  await store.settle(settlement);
}

async function learnedOf(tenant: string, model = 'm'): Promise<Learned | undefined> {
  const text = await redis.hget(keys.learned(tenant), learnedField('p', model));
  return text === null ? undefined : parseLearned(text);
}

/** RFC 6298 with clipped samples, written for reading. */
function follow([mean, deviation]: [number, number], sample: number, calls: number): [number, number] {
  const farthest = 4 * Math.max(deviation, mean * 0.05);
  const near = Math.min(Math.max(sample, mean - farthest), mean + farthest);
  const gain = 1 / Math.min(calls + 1, 8);
  return [mean + gain * (near - mean), deviation * 0.75 + Math.abs(near - mean) * 0.25];
}

const size = fc.integer({ min: 0, max: 5_000 });
test('settling a call teaches what RFC 6298 says, once', async () => {
  const samples = fc.array(fc.record({ input: size, output: size }), { minLength: 1, maxLength: 25 });
  const property = fc.asyncProperty(samples, async (history) => {
    const tenant = `tenant${names++}`;
    let ratio: [number, number] = [untaught.ratio, untaught.ratioDeviation];
    let output: [number, number] = [untaught.output, untaught.outputDeviation];
    for (const [index, sample] of history.entries()) {
      await call(tenant, sample);
      ratio = follow(ratio, sample.input / linear, index + 1);
      output = follow(output, sample.output, index + 1);
    }
    const learned = (await learnedOf(tenant))!;
    expect(learned.calls).toBe(history.length + 1);
    // Kept to six digits, so that the difference may add up.
    for (const [got, expected] of [
      [learned.ratio, ratio[0]],
      [learned.ratioDeviation, ratio[1]],
      [learned.output, output[0]],
      [learned.outputDeviation, output[1]],
    ] as const)
      expect(Math.abs(got - expected) / (1 + expected)).toBeLessThan(1e-4);
  });
  await holds(20, property);
});

test('one outlier moves the mean by no more than half a deviation; a lasting change is followed', async () => {
  const tenant = `tenant${names++}`;
  for (let index = 0; index < 30; index++) await call(tenant, { input: 110, output: 90 + (index % 3) * 10 });
  const settled = (await learnedOf(tenant))!;
  expect(settled.output).toBeGreaterThan(90);
  expect(settled.output).toBeLessThan(115);
  expect(settled.ratio).toBeCloseTo(1.1, 1);
  expect(safeOutput(settled)).toBeGreaterThan(110);
  await call(tenant, { input: 110, output: 100_000 });
  const after = (await learnedOf(tenant))!;
  const deviation = Math.max(settled.outputDeviation, settled.output / 20);
  expect(after.output - settled.output).toBeLessThanOrEqual(deviation / 2 + 0.01);
  for (let index = 0; index < 25; index++) await call(tenant, { input: 110, output: 2_000 });
  expect((await learnedOf(tenant))!.output).toBeGreaterThan(1_800);
});

test('only calls that succeeded teach, and so many models are remembered at most', async () => {
  const tenant = `tenant${names++}`;
  await call(tenant, { input: 1, output: 1 }, { state: 'failed' });
  expect(await learnedOf(tenant)).toBeUndefined();
  for (let index = 0; index < 8; index++) {
    await call(tenant, { input: 1, output: 1 }, { model: `model ${index}` });
    expect(await learnedOf(tenant, `model ${index}`)).toBeDefined();
  }
  expect(await redis.hlen(keys.learned(tenant))).toBe(settings.learned_models_max);
});

const readings = async () =>
  Number(/cmdstat_hgetall:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);

test('what was learned is at hand without a wait, is read again now and then, and of so many tenants at most', async () => {
  const clock = new ManualClock();
  const errors: unknown[] = [];
  const estimates = new LearnedEstimates({ redis, clock, settings, onError: (error) => errors.push(error) });
  const [one, two, three] = [`tenant${names++}`, `tenant${names++}`, `tenant${names++}`];
  await call(one, { input: 200, output: 10 });
  const before = await readings();
  expect(estimates.of(one, 'p', 'm')).toBe(untaught);
  const known = await until('it is read', () => {
    const learned = estimates.of(one, 'p', 'm');
    return learned === untaught ? undefined : learned;
  });
  expect(known).toEqual(await learnedOf(one));
  for (let index = 0; index < 100; index++) expect(estimates.of(one, 'p', 'm')).toEqual(known);
  expect((await readings()) - before).toBe(1);

  await call(one, { input: 200, output: 10 });
  clock.advance(settings.learned_refresh_ms);
  expect(estimates.of(one, 'p', 'm'), 'what is stale serves until it is read').toEqual(known);
  await until('it is read again', () => estimates.of(one, 'p', 'm').calls === known.calls + 1);
  expect((await readings()) - before).toBe(2);

  estimates.of(two, 'p', 'm');
  estimates.of(three, 'p', 'm');
  await until('both are read', async () => (await readings()) - before === 4);
  expect(estimates.of(one, 'p', 'm'), 'the tenant read first was dropped').toBe(untaught);
  expect(errors).toEqual([]);
});
