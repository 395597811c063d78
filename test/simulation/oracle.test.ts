import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { compilePool } from '#shared/queue/fair/pool-config.ts';
import { coolDown, publishPool } from '#shared/queue/fair/publish-pool.ts';
import { RedisProcess } from '../harness/redis-process.ts';
import { FairPool } from '../queue/fair/fair-pool.ts';
import { FairModel } from './fair-model.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const tenant = fc.constantFrom('ant', 'bee', 'cat', 'dog');
const tokens = fc.integer({ min: 0, max: 400 });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      tenant,
      class: fc.integer({ min: 0, max: 2 }),
      input: tokens,
      output: tokens,
      max: tokens,
      deadlineInMs: fc.option(fc.integer({ min: 1_000, max: 900_000 }), { nil: undefined, freq: 5 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('dispatch' as const), count: fc.integer({ min: 1, max: 6 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('complete' as const),
      which: fc.nat(),
      usage: fc.option(fc.record({ in: tokens, out: tokens }), { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('giveBack' as const), which: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('putBack' as const),
      which: fc.nat(),
      unused: fc.constantFrom('output' as const, undefined),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('tenant' as const),
      tenant,
      weight: fc.constantFrom(1, 2, 4, 0.5),
      concurrency: fc.constantFrom(0, 0, 1, 3),
      paused: fc.constantFrom(false, false, true),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('cool' as const),
      which: fc.nat(),
      forMs: fc.integer({ min: 0, max: 5_000 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(1, 7, 50, 333, 2_000, 11_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('back' as const), ms: fc.constantFrom(5, 400, 1_500, 30_000) }),
  },
);

const ceiling = fc.record({
  dimension: fc.constantFrom('requests', 'tokens', 'input_tokens', 'output_tokens', 'concurrency'),
  amount: fc.integer({ min: 1, max: 30 }),
  windowMs: fc.constantFrom(1_000, 6_000, 60_000),
  sliceMs: fc.option(fc.constantFrom(100, 500), { nil: undefined }),
  burst: fc.option(fc.constantFrom(0, 0.005, 0.5, null), { nil: undefined }),
});
const settings = fc.record({
  accounting: fc.constantFrom(
    'input_plus_max',
    'max_of_both',
    'input_plus_output_actual',
    'input_only',
    'bedrock',
  ),
  burndown: fc.constantFrom(1, 2.5),
  guardMs: fc.constantFrom(0, 250),
  scopes: fc.record({ org: fc.array(ceiling, { maxLength: 4 }), own: fc.array(ceiling, { maxLength: 3 }) }),
  credentials: fc.constantFrom(
    [],
    [{ id: 'k1', scope: 'org' }],
    [
      { id: 'k1', scope: 'org' },
      { id: 'k2', scope: 'org', weight: 2 },
      { id: 'k3', scope: 'own' },
    ],
  ),
});

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;
type Settings = typeof settings extends fc.Arbitrary<infer S> ? S : never;

/** Amounts of token ceilings lie above the largest call, so that nothing is refused for its size. */
function enlarge(input: Settings) {
  const scopes = Object.entries(input.scopes).map(([scope, ceilings]) => {
    const larger = ceilings.map((each) => {
      const unit = /tokens/.test(each.dimension) ? 1_400 : 1;
      return { ...each, amount: each.amount * unit };
    });
    return [
      scope,
      larger.filter((each, index) => larger.findIndex((other) => keyOf(other) === keyOf(each)) === index),
    ];
  });
  return { ...input, scopes: Object.fromEntries(scopes) };
}
const keyOf = ({ dimension, windowMs }: { dimension: string; windowMs: number }) =>
  `${dimension} ${windowMs}`;

async function dispatchOnBoth(pool: FairPool, model: FairModel, count: number): Promise<void> {
  const claims = await pool.claim(count);
  const expected = model.dispatch(count, pool.nowMs);
  const got = claims.claimed.map(({ id, grant }) => ({ id, credential: grant.credential }));
  expect(got).toEqual(expected.handed);
  // Nothing says when a place among the calls in hand gets free; whoever waits for that looks now and then.
  if (expected.comeBackMs === 'some time') expect(claims.comeBackMs).toBeGreaterThan(0);
  else if (expected.comeBackMs === undefined) expect(claims.comeBackMs).toBeUndefined();
  else expect(claims.comeBackMs).toBe(expected.comeBackMs);
}

async function play(pool: FairPool, model: FairModel, each: Step, index: number): Promise<void> {
  const { nowMs } = pool;
  switch (each.do) {
    case 'add': {
      const { tenant: of, class: rank, input, output, max, deadlineInMs } = each;
      const deadline = deadlineInMs === undefined ? undefined : nowMs + deadlineInMs;
      await pool.add(`job${index}`, { tenant: of, class: rank, input, output, max, deadline });
      model.add(`job${index}`, { tenant: of, class: rank, input, output, max, deadlineMs: deadline }, nowMs);
      return;
    }
    case 'dispatch':
      return dispatchOnBoth(pool, model, each.count);
    case 'complete':
    case 'putBack':
    case 'giveBack': {
      const ids = [...model.held.keys()];
      const id = ids[each.which % ids.length];
      if (id === undefined) return;
      if (each.do === 'complete') {
        await pool.complete(id, each.usage);
        model.complete(id, each.usage, nowMs);
      } else if (each.do === 'putBack') {
        await pool.putBack(id, each.unused);
        model.putBack(id, each.unused, nowMs);
      } else {
        await pool.giveBack(id);
        model.giveBack(id, nowMs);
      }
      return;
    }
    case 'tenant': {
      const { tenant: name, weight, concurrency, paused } = each;
      await publishPool(pool.backend, undefined, { [name]: { weight, concurrency, paused } });
      model.publishTenant(name, { weight, concurrency, paused }, nowMs);
      return;
    }
    case 'cool': {
      const credential = model.pool.credentials[each.which % model.pool.credentials.length];
      if (!credential) return;
      await coolDown(pool.backend, credential.id, each.forMs);
      model.coolDown(credential.id, nowMs + each.forMs, nowMs);
      return;
    }
    case 'pass':
      pool.nowMs += each.ms;
      return;
    case 'back': {
      // What is too old to count is forgotten when somebody looks. The model looks at every dispatch, the scripts not
      // while they know that nothing fits: after a step back they would remember more. So both look just before it.
      const credential = model.pool.credentials[0];
      if (credential) {
        await coolDown(pool.backend, credential.id, 0);
        model.coolDown(credential.id, nowMs, nowMs);
      }
      await dispatchOnBoth(pool, model, 1);
      pool.nowMs -= each.ms;
      return;
    }
  }
}

test('the scripts choose what the model chooses, for any history of a pool', async () => {
  await fc.assert(
    fc.asyncProperty(settings, fc.array(step, { minLength: 20, maxLength: 140 }), async (drawn, steps) => {
      const configuration = enlarge(drawn) as unknown as Parameters<typeof compilePool>[0];
      const pool = await FairPool.open(redis, configuration);
      const model = new FairModel(compilePool(configuration));
      try {
        for (const [index, each] of steps.entries()) await play(pool, model, each, index);
        expect(await pool.queue.getJobCountByTypes('prioritized')).toBe(model.waiting());
      } finally {
        await pool.close();
      }
    }),
    { numRuns: 150, interruptAfterTimeLimit: 45_000 },
  );
});
