import { describe, expect, test } from 'vitest';
import { type DrainRecord, judgeDrain } from '../../../loadtest/judge/judge-drain.ts';
import type { JudgedCall } from '../../../loadtest/judge/judged-call.ts';
import { call } from './calls.ts';

const windowMs = 700;
const windows = 4;
const weights = new Map([
  ['a', 1],
  ['b', 2],
  ['c', 4],
]);

/** A run of four windows at 70 calls each, whose turn it is being decided by `turn`. */
function drain(turn: (index: number) => string): DrainRecord {
  const perWindow = 70;
  const calls = Array.from({ length: windows * perWindow }, (_, index) =>
    call({ atMs: (index * windowMs) / perWindow, tenant: turn(index), job: `job-${index}` }),
  );
  const waitingForever = [...weights.keys()].map((tenant) => [`waiting-${tenant}`, tenant] as const);
  const jobs = [...calls.map(({ job, tenant }) => [job, tenant] as const), ...waitingForever];
  return {
    calls,
    acceptedMs: new Map(jobs.map(([job, tenant]) => [job, { tenant, atMs: -1 }])),
    phases: [{ span: { fromMs: 0, toMs: windows * windowMs }, weights, credentials: ['000001'] }],
    ceilings: [
      { name: 'requests', amount: perWindow, ownShare: 1, charge: ({ atMs }) => ({ atMs, amount: 1 }) },
    ],
    windowMs,
    aligned: false,
    cost: { input: 1, output: 4 },
  };
}

const inTurn = ['c', 'b', 'c', 'a', 'c', 'b', 'c'];
const fair = (index: number) => inTurn[index % inTurn.length]!;

describe('a drain', () => {
  test('that is perfect is found perfect', () => {
    const measures = judgeDrain(drain(fair));
    expect(measures.ceilingUsed).toBeCloseTo(1);
    expect(measures.overshoot).toBeCloseTo(0);
    expect(measures.quota429).toBe(0);
    expect(measures.shareErrorMax).toBeCloseTo(0);
    expect(measures.jain).toBeCloseTo(1);
    expect(measures.gini).toBeCloseTo(0);
    expect(measures.gapMax).toBeLessThanOrEqual(measures.gapBound);
    expect(measures.callsPerSecond).toBeCloseTo(100);
    expect(measures.shareWindows).toBe(3);
  });

  test('that serves all alike in spite of their weights is found unfair', () => {
    const measures = judgeDrain(drain((index) => ['a', 'b', 'c'][index % 3]!));
    // A third instead of a seventh.
    expect(measures.shareErrorMax).toBeCloseTo(7 / 3 - 1, 1);
    expect(measures.gapMax).toBeGreaterThan(measures.gapBound);
  });

  test('that serves one tenant after the other is found unfair', () => {
    const measures = judgeDrain(drain((index) => ['a', 'b', 'c'][Math.floor(index / 100)]!));
    expect(measures.shareErrorMax).toBeGreaterThan(0.5);
    expect(measures.gapMax).toBeGreaterThan(measures.gapBound);
    expect(measures.jain).toBeLessThan(0.9);
  });

  test('is not blamed for a tenant that had nothing waiting', () => {
    const record = drain((index) => ['b', 'c', 'c'][index % 3]!);
    const acceptedMs = new Map([...record.acceptedMs].filter(([, { tenant }]) => tenant !== 'a'));
    const phases = [
      { ...record.phases[0]!, weights: new Map([...weights].filter(([name]) => name !== 'a')) },
    ];
    const measures = judgeDrain({ ...record, acceptedMs, phases });
    expect(measures.shareErrorMax).toBeLessThan(0.01);
  });

  test('has no share error when the tenants never waited at the same time', () => {
    const record = drain(fair);
    const acceptedMs = new Map([...record.acceptedMs].filter(([, { tenant }]) => tenant !== 'a'));
    expect(judgeDrain({ ...record, acceptedMs }).shareErrorMax).toBeNull();
  });

  test('with a burst has overshoot and refusals', () => {
    const record = drain(fair);
    const burst = Array.from(
      { length: 35 },
      (_, index): JudgedCall =>
        call({ atMs: 1_400 + index / 100, job: `burst-${index}`, refused: true, status: 429 }),
    );
    const calls = [...record.calls, ...burst].toSorted((x, y) => x.atMs - y.atMs);
    const measures = judgeDrain({ ...record, calls });
    expect(measures.quota429).toBe(35);
    expect(measures.quota429PerWindow).toEqual([0, 0, 35, 0]);
    expect(measures.overshoot).toBeCloseTo(0.5);
    expect(measures.ceilingUsed).toBeCloseTo(1);
  });

  test('is measured anew after a change of weights', () => {
    const equal = new Map([...weights.keys()].map((name) => [name, 1]));
    const late = 10 * windows * 7;
    const record = drain((index) => (index < late / 2 ? fair(index) : ['a', 'b', 'c'][index % 3]!));
    const halfMs = (windows * windowMs) / 2;
    const phase = record.phases[0]!;
    const phases = [
      { ...phase, span: { fromMs: 0, toMs: halfMs } },
      { ...phase, span: { fromMs: halfMs, toMs: windows * windowMs }, weights: equal },
    ];
    const measures = judgeDrain({ ...record, phases });
    expect(measures.shareErrorMax).toBeLessThan(0.05);
    expect(judgeDrain(record).shareErrorMax).toBeGreaterThan(0.3);
  });
});
