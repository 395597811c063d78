import { afterAll, beforeAll, expect, test } from 'vitest';
import { JobStore } from '#shared/jobs/job-store.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { gapBoundOf, giniCoefficient, jainIndex, servedBetween } from '#shared/queue/fair/fairness.ts';
import { PoolQueues } from '#shared/queue/pool-queues.ts';
import { createMetrics, type Metrics } from '#shared/telemetry/metrics.ts';
import { FairnessWatch } from '../../../services/worker/watch-fairness.ts';
import { chat, startSluice, type TestSluice } from '../../harness/sluice.ts';
import { otherKey } from '../../harness/test-settings.ts';
import { until } from '../../harness/until.ts';
import { submit } from '../../path/support.ts';

const pool = 'openai/chat';
let sluice: TestSluice;
beforeAll(async () => {
  const ceilings = { rpm: 20 };
  sluice = await startSluice({
    settings: {
      workers: { fairness_sample_ms: 400 },
      providers: { openai: { pools: { chat: { ceilings, window_seconds: 2 } } } },
    },
  });
});
afterAll(() => sluice.stop());

test('indexes of equal, of single and of no service', () => {
  expect([jainIndex([5, 5, 5, 5]), giniCoefficient([5, 5, 5, 5])]).toEqual([1, 0]);
  expect([jainIndex([8, 0, 0, 0]), giniCoefficient([8, 0, 0, 0])]).toEqual([0.25, 0.75]);
  expect([jainIndex([]), giniCoefficient([])]).toEqual([1, 0]);
});

test('served is how far a lane moved that had work all the time; the bound follows the jobs in hand', () => {
  const before = {
    counters: new Map([
      ['000000000001a', 10],
      ['000000000002b', 10],
    ]),
    inHand: [],
    heads: [],
  };
  const after = {
    counters: new Map([
      ['000000000001a', 25],
      ['000000000007b', 90],
    ]),
    inHand: [],
    heads: [],
  };
  expect(servedBetween(before, after)).toEqual([15]);
  const inHand = [
    { tenant: 'a', charge: 10, most: 40 },
    { tenant: 'a', charge: 10, most: 12 },
    { tenant: 'b', charge: 30, most: 30 },
  ];
  expect(gapBoundOf({ counters: new Map(), inHand, heads: [{ tenant: 'c', charge: 50, most: 50 }] })).toBe(
    50 + 2 * 40,
  );
});

const gauge = async (
  metrics: Metrics,
  name: 'fairnessGap' | 'fairnessGapBound' | 'fairnessJain' | 'waitingJobs',
) => (await metrics[name].get()).values.find(({ labels }) => labels.pool === pool)?.value;

test('while work waits, one worker alone reports how the pool is shared and how well starts are foretold', async () => {
  const redis = sluice.redis.connect();
  const live = new LiveValue(sluice.settings);
  const queues = new PoolQueues({ live, connection: redis, clock: systemClock, telemetry: undefined });
  await queues.start();
  const metrics = createMetrics({ processMetrics: false });
  const jobs = new JobStore(redis, sluice.settings.jobs);
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  const common = { live, redis, queues, jobs, clock: systemClock, onError };
  const second = new FairnessWatch({ ...common, workerId: 'second', metrics });
  await until('the worker of the system holds the lease', () =>
    gauge(sluice.metrics, 'waitingJobs').then((n) => n !== undefined),
  );
  await second.start();
  for (let index = 0; index < 30; index++) {
    await submit(sluice, chat(`mine ${index}`));
    await sluice.post(
      '/v1/jobs',
      { endpoint: '/v1/chat/completions', body: chat(`theirs ${index}`) },
      {
        authorization: `Bearer ${otherKey}`,
      },
    );
  }
  await until('the pool is shared', async () => {
    const bound = (await gauge(sluice.metrics, 'fairnessGapBound')) ?? 0;
    const jain = (await gauge(sluice.metrics, 'fairnessJain')) ?? 0;
    const gap = (await gauge(sluice.metrics, 'fairnessGap')) ?? 0;
    const waiting = (await gauge(sluice.metrics, 'waitingJobs')) ?? 0;
    return waiting > 0 && gap > 0 && gap <= bound && jain >= 0.5;
  });
  const foretold = async () =>
    (await sluice.metrics.startEstimateErrorSeconds.get()).values.find(({ metricName }) =>
      metricName?.endsWith('_count'),
    )?.value;
  await until('a start that was foretold has happened', foretold);
  expect(await gauge(metrics, 'fairnessGap')).toBeUndefined();
  await second.stop();
  await queues.stop();
  redis.disconnect();
  expect(errors).toEqual([]);
});
