import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { coolDown, publishPool } from '#shared/queue/fair/publish-pool.ts';
import { fairKeys } from '#shared/redis/keys.ts';
import { RedisProcess } from '../harness/redis-process.ts';
import { FairPool } from '../queue/fair/fair-pool.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

interface Sent {
  atMs: number;
  requests: number;
  tokens: number;
}

/** The most that any window of `windowMs` held, looked at from the arrival of each request backwards. */
function fullest(sent: Sent[], windowMs: number, what: 'requests' | 'tokens'): number {
  const sums = sent.map(({ atMs }) =>
    sent
      .filter((other) => other.atMs > atMs - windowMs && other.atMs <= atMs)
      .reduce((sum, other) => sum + other[what], 0),
  );
  return Math.max(0, ...sums);
}

const call = fc.record({
  tenant: fc.constantFrom('ant', 'bee', 'cat'),
  input: fc.integer({ min: 1, max: 90 }),
  max: fc.integer({ min: 0, max: 60 }),
});

const limits = fc.record({
  rpm: fc.integer({ min: 2, max: 20 }),
  tpm: fc.integer({ min: 150, max: 900 }),
  windowMs: fc.constantFrom(1_000, 5_000, 60_000),
  sliced: fc.boolean(),
  burst: fc.constantFrom(0.005, 0.2, 1, null),
  guardMs: fc.constantFrom(0, 100),
});
const scenario = fc.record({
  limits,
  calls: fc.array(call, { minLength: 15, maxLength: 50 }),
  pausesMs: fc.array(fc.constantFrom(0, 0, 1, 13, 170, 1_900, 31_000), { minLength: 60, maxLength: 60 }),
  returned: fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }),
});

test('no rolling window ever holds more than its ceiling, and work that waits is sent when it was said to fit', async () => {
  await fc.assert(
    fc.asyncProperty(
      scenario,
      async ({ limits: { rpm, tpm, windowMs, sliced, burst, guardMs }, ...play }) => {
        const sliceMs = sliced ? windowMs / 10 : undefined;
        const pool = await FairPool.open(redis, {
          guardMs,
          credentials: [{ id: 'k', scope: 'org' }],
          scopes: {
            org: [
              { dimension: 'requests', amount: rpm, windowMs, sliceMs, burst },
              { dimension: 'tokens', amount: tpm, windowMs, burst },
            ],
          },
        });
        try {
          for (const [index, each] of play.calls.entries()) await pool.add(`job${index}`, each);
          const sent: Sent[] = [];
          const finished = new Set<string>();
          for (let turn = 0; finished.size < play.calls.length; turn++) {
            const { claimed, comeBackMs } = await pool.claim(3);
            for (const { id, json } of claimed) {
              const { input, max } = JSON.parse(json.data as unknown as string) as {
                input: number;
                max: number;
              };
              if (play.returned[turn] && turn < 40) {
                await pool.giveBack(id);
                continue;
              }
              sent.push({ atMs: pool.nowMs, requests: 1, tokens: input + max });
              await pool.complete(id, { in: input, out: max });
              finished.add(id);
            }
            const early = play.pausesMs[turn] ?? 0;
            if (claimed.length === 0 && comeBackMs !== undefined) {
              if (early < comeBackMs && turn < 40) pool.nowMs += early;
              else {
                pool.nowMs += comeBackMs;
                const [first] = (await pool.claim(1)).claimed;
                expect(first, 'the head fits at the time that was named').toBeDefined();
                const { input, max } = JSON.parse(String(first!.json.data)) as { input: number; max: number };
                sent.push({ atMs: pool.nowMs, requests: 1, tokens: input + max });
                await pool.complete(first!.id, { in: input, out: max });
                finished.add(first!.id);
              }
            } else pool.nowMs += early;
            expect(turn, 'it ends').toBeLessThan(500);
          }
          expect(fullest(sent, windowMs + guardMs, 'requests')).toBeLessThanOrEqual(rpm);
          expect(fullest(sent, windowMs + guardMs, 'tokens')).toBeLessThanOrEqual(tpm);
          if (sliceMs) {
            const part = Math.max(1, Math.floor(rpm / 10));
            const slices = Map.groupBy(sent, ({ atMs }) => Math.floor(atMs / sliceMs));
            for (const calls of slices.values()) expect(calls.length).toBeLessThanOrEqual(part);
            const openMs = sliceMs - Math.min(guardMs, Math.ceil(sliceMs * 0.06));
            expect(fullest(sent, openMs, 'requests')).toBeLessThanOrEqual(part);
          }
        } finally {
          await pool.close();
        }
      },
    ),
    { numRuns: 40 },
  );
});

const boundWeights = { ant: 4, bee: 2, cat: 1, dog: 1 };
const tenantOf = fc.constantFrom('ant', 'bee', 'cat', 'dog');
const size = fc.integer({ min: 0, max: 200 });
const boundStep = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('add' as const), tenant: tenantOf, input: size, output: size }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('claim' as const), used: fc.record({ in: size, out: size }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('complete' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('giveBack' as const), which: fc.nat() }) },
);

test('lanes with work stay within the bound of each other, whatever is estimated, used, returned and joined', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(boundStep, { minLength: 40, maxLength: 160 }), async (steps) => {
      const pool = await FairPool.open(redis);
      const tenants = Object.fromEntries(
        Object.entries(boundWeights).map(([name, weight]) => [name, { weight }]),
      );
      await publishPool(pool.backend, undefined, tenants);
      const lanesKey = fairKeys(pool.backend.keys['']!).lanes;
      const held = new Map<
        string,
        { tenant: keyof typeof boundWeights; cost: number; used: { in: number; out: number } }
      >();
      const calls = new Map<string, { tenant: keyof typeof boundWeights; cost: number }>();
      let largestCharge = 0;
      let largestCorrection = 0;
      const note = () => {
        for (const name of Object.keys(boundWeights)) {
          const corrections = [...held.values()].filter((each) => each.tenant === name);
          // A call that is given back is corrected by its whole charge.
          const sum = corrections.reduce(
            (total, { cost, used }) => total + Math.max(cost, Math.abs(used.in + 4 * used.out - cost)),
            0,
          );
          largestCorrection = Math.max(
            largestCorrection,
            sum / boundWeights[name as keyof typeof boundWeights],
          );
        }
      };
      try {
        for (const [index, each] of steps.entries()) {
          const ids = [...held.keys()];
          if (each.do === 'add') {
            const of = each.tenant as keyof typeof boundWeights;
            const cost = each.input + 4 * each.output;
            calls.set(`job${index}`, { tenant: of, cost });
            await pool.add(`job${index}`, { tenant: of, input: each.input, output: each.output });
          } else if (each.do === 'claim') {
            for (const { id } of (await pool.claim(1)).claimed) {
              const { tenant: of, cost } = calls.get(id)!;
              held.set(id, { tenant: of, cost, used: each.used });
              largestCharge = Math.max(largestCharge, cost / boundWeights[of]);
            }
          } else if (ids.length > 0) {
            const id = ids[each.which % ids.length]!;
            if (each.do === 'complete') await pool.complete(id, held.get(id)!.used);
            else await pool.giveBack(id);
            held.delete(id);
          }
          note();
          const counters = (await redis.zrange(lanesKey, '0', '-1', 'WITHSCORES'))
            .filter((_score, at) => at % 2 === 1)
            .map(Number);
          const gap = counters.length > 1 ? Math.max(...counters) - Math.min(...counters) : 0;
          expect(gap).toBeLessThanOrEqual(largestCharge + 2 * largestCorrection + 1e-6);
        }
      } finally {
        await pool.close();
      }
    }),
    { numRuns: 40 },
  );
});

test('weights 4:2:1 share a pool 4:2:1 in tokens, whatever the sizes of the calls', async () => {
  const pool = await FairPool.open(redis);
  const weights = { four: 4, two: 2, one: 1 };
  const tenants = Object.fromEntries(Object.entries(weights).map(([name, weight]) => [name, { weight }]));
  await publishPool(pool.backend, undefined, tenants);
  const sizes = { four: 900, two: 40, one: 300 };
  const cost = new Map<string, { tenant: string; cost: number }>();
  for (const [tenant, input] of Object.entries(sizes)) {
    for (let index = 0; index < (tenant === 'two' ? 600 : 120); index++) {
      await pool.add(`${tenant}${index}`, { tenant, input, output: index % 7 });
      cost.set(`${tenant}${index}`, { tenant, cost: input + 4 * (index % 7) });
    }
  }
  const served: Record<string, number> = { four: 0, two: 0, one: 0 };
  for (let index = 0; index < 380; index++) {
    const { claimed } = await pool.claim(1);
    const { tenant, cost: charged } = cost.get(claimed[0]!.id)!;
    served[tenant]! += charged;
    await pool.complete(claimed[0]!.id);
  }
  for (const [one, other] of [
    ['four', 'two'],
    ['two', 'one'],
    ['four', 'one'],
  ] as const) {
    const gap = served[one]! / weights[one] - served[other]! / weights[other];
    expect(Math.abs(gap)).toBeLessThanOrEqual(2 * 328);
  }
  await pool.close();
});

test('a tenant that comes late gets no credit for the time it was idle, and does not wait for the others either', async () => {
  const pool = await FairPool.open(redis);
  for (let index = 0; index < 60; index++) await pool.add(`early${index}`, { tenant: 'early', input: 10 });
  for (let index = 0; index < 40; index++) await pool.complete((await pool.claim(1)).claimed[0]!.id);
  for (let index = 0; index < 60; index++) await pool.add(`late${index}`, { tenant: 'late', input: 10 });
  const { claimed } = await pool.claim(20);
  const late = claimed.filter(({ id }) => id.startsWith('late')).length;
  expect(late).toBe(10);
  await pool.close();
});

test('a flood of one tenant does not hold up another, and a tenant at its cap holds up nobody', async () => {
  const pool = await FairPool.open(redis);
  await publishPool(pool.backend, undefined, { flood: { concurrency: 2 } });
  for (let index = 0; index < 3_000; index++) await pool.add(`flood${index}`, { tenant: 'flood', input: 1 });
  await pool.add('light', { tenant: 'light', input: 1 });
  const { claimed } = await pool.claim(10);
  expect(claimed.map(({ id }) => id)).toEqual(['flood0', 'light', 'flood1']);
  await pool.complete('flood0');
  expect((await pool.claim(10)).claimed.map(({ id }) => id)).toEqual(['flood2']);
  await publishPool(pool.backend, undefined, { flood: { concurrency: 4 } });
  expect((await pool.claim(10)).claimed).toHaveLength(2);
  await publishPool(pool.backend, undefined, { flood: { paused: true } });
  await pool.complete('flood1');
  expect((await pool.claim(10)).claimed).toEqual([]);
  await pool.close();
});

test('a call that no ceiling can ever hold is handed out to be refused, and holds up nobody', async () => {
  const pool = await FairPool.open(redis, {
    credentials: [{ id: 'k', scope: 'org' }],
    scopes: { org: [{ dimension: 'tokens', amount: 100 }] },
  });
  await pool.add('huge', { tenant: 'a', input: 500 });
  await pool.add('small', { tenant: 'a', input: 50 });
  const { claimed } = await pool.claim(2);
  expect(claimed.map(({ id, grant }) => [id, grant.oversize, grant.credential])).toEqual([
    ['huge', true, undefined],
    ['small', false, 'k'],
  ]);
  await pool.close();
});

test('a look that finds no room forgets nothing of what was admitted', async () => {
  const pool = await FairPool.open(redis, {
    guardMs: 0,
    credentials: [{ id: 'k', scope: 'org' }],
    scopes: { org: [{ dimension: 'tokens', amount: 10, windowMs: 1_000, burst: null }] },
  });
  const admit = async (id: string, input: number) => {
    await pool.add(id, { tenant: 'a', input });
    return (await pool.claim(1)).claimed.length;
  };
  expect(await admit('first', 4)).toBe(1);
  pool.nowMs += 500;
  expect(await admit('second', 3)).toBe(1);
  pool.nowMs += 200;
  expect(await admit('third', 3)).toBe(1);
  pool.nowMs += 302;
  // The first is too old to count; six more do not fit beside the second and the third.
  expect(await admit('fourth', 6)).toBe(0);
  await pool.complete('first');
  expect((await pool.claim(1)).claimed).toEqual([]);
  pool.nowMs += 500;
  expect((await pool.claim(1)).claimed).toHaveLength(1);
  await pool.close();
});

test('where the slices of a provider begin is learned from what it refuses, and nothing is sent around their ends', async () => {
  const phaseMs = 370;
  const sliceMs = 1_000;
  const pool = await FairPool.open(redis, {
    credentials: [{ id: 'k', scope: 'org' }],
    scopes: { org: [{ dimension: 'requests', amount: 6_000, windowMs: 60_000, sliceMs }] },
  });
  try {
    for (let index = 0; index < 700; index++)
      await pool.add(`job${index}`, { tenant: 'ant', input: 1, max: 1 });
    const sentMs: number[] = [];
    const sendUntil = async (endMs: number) => {
      while (pool.nowMs < endMs) {
        const { claimed, comeBackMs } = await pool.claim(64);
        for (const { id } of claimed) {
          sentMs.push(pool.nowMs);
          await pool.complete(id, { in: 1, out: 1 });
        }
        if (claimed.length === 0) pool.nowMs += Math.max(1, comeBackMs ?? 1);
      }
    };
    const nextEndMs = (Math.floor((pool.nowMs - phaseMs) / sliceMs) + 2) * sliceMs + phaseMs;
    await sendUntil(nextEndMs - 3);
    await coolDown(pool.backend, 'k', 0);
    const learnedMs = pool.nowMs;
    await sendUntil(learnedMs + 3 * sliceMs);
    const late = sentMs
      .filter((atMs) => atMs > learnedMs)
      .map((atMs) => (((atMs - phaseMs) % sliceMs) + sliceMs) % sliceMs);
    expect(late.length).toBeGreaterThan(250);
    expect(Math.max(...late)).toBeLessThan(sliceMs - 30);
  } finally {
    await pool.close();
  }
});
