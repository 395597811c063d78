import { describe, expect, test } from 'vitest';
import type { DrainMeasures } from '../../../loadtest/judge/judge-drain.ts';
import { eventNames, eventScenario } from '../../../loadtest/scenarios/drain-events.ts';
import { planDrain } from '../../../loadtest/scenarios/drain-plan.ts';
import { adoptedAfterMs } from '../../../loadtest/scenarios/tier-change.ts';
import { whatHolds } from '../../../loadtest/scenarios/what-holds.ts';
import { call } from './calls.ts';

const plan = planDrain({
  shape: 'refill',
  dimension: 'rpm',
  workers: 4,
  tenants: 12,
  seconds: undefined,
  windowSeconds: 60,
  amount: undefined,
  sliceMs: undefined,
  seed: 1,
  mix: 'small',
  latencyMs: 40,
  concurrency: 64,
  ceilings: true,
});
const well = {
  shareErrorMax: 0.001,
  gapMax: 1,
  gapBound: 2,
  overshoot: 0,
  quota429: 0,
  quota429PerWindow: [0, 0],
} as unknown as DrainMeasures;

describe('what holds', () => {
  test('is nothing when nothing was measured', () => {
    const nothing = { ...well, shareErrorMax: null, gapMax: 3, overshoot: 0.01, quota429: 1 };
    for (const held of Object.values(whatHolds('redis-restart', nothing, {}))) expect(held).toBe(false);
  });

  test('is everything when all is well, for each scenario with what it adds', () => {
    const extra = {
      lost: 0,
      leasesCutOff: 200,
      firstUseOfNewMs: 900,
      callsOnRemoved: 0,
      earlyArrivals: 0,
      adoptedAfterMs: 1,
    };
    for (const name of eventNames)
      for (const held of Object.values(whatHolds(name, well, extra))) expect(held).toBe(true);
  });

  test('of a shared key allows refusals that become fewer, and no others', () => {
    const refused = (...quota429PerWindow: number[]) =>
      whatHolds('shared-key', { ...well, quota429: 9, quota429PerWindow }, { lost: 0 }).noQuota429;
    expect(refused(30, 4, 2, 1)).toBe(true);
    expect(refused(5, 5, 5, 5)).toBe(false);
  });
});

test('a worker that is killed holds more than 200 calls on average', () => {
  const killed = eventScenario('worker-kill', plan).plan;
  expect((killed.expectedRate * killed.latencyMs) / 1_000 / killed.workers).toBeGreaterThan(200);
});

describe('a limit that was raised', () => {
  const from = (atMs: number, count: number, everyMs: number) =>
    Array.from({ length: count }, (_, index) => call({ atMs: atMs + index * everyMs }));
  const raised = { ...plan, expectedRate: 100 };

  test('is adopted when calls come at its rate', () => {
    const calls = [...from(0, 500, 20), ...from(10_000, 1_000, 10)];
    expect(adoptedAfterMs(calls, 1_000, raised)).toBeGreaterThan(8_500);
    expect(adoptedAfterMs(calls, 1_000, raised)).toBeLessThanOrEqual(9_000);
  });

  test('is not adopted while they come at the old one', () =>
    expect(adoptedAfterMs(from(0, 500, 20), 0, raised)).toBeNull());
});
