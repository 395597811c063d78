import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConcurrencyMeter } from '../../../loadtest/simulator/limits/concurrency-meter.ts';
import { FixedMeter } from '../../../loadtest/simulator/limits/fixed-meter.ts';
import { ForeignUse } from '../../../loadtest/simulator/limits/foreign-use.ts';
import type { Meter } from '../../../loadtest/simulator/limits/meter.ts';
import { RefillMeter } from '../../../loadtest/simulator/limits/refill-meter.ts';
import { RollingMeter } from '../../../loadtest/simulator/limits/rolling-meter.ts';
import { SliceMeter } from '../../../loadtest/simulator/limits/slice-meter.ts';

interface Step {
  gapMs: number;
  cost: number;
}

const startMs = 1_800_000_000_000;
const steps = fc.array(
  fc.record({ gapMs: fc.integer({ min: 0, max: 400 }), cost: fc.integer({ min: 1, max: 30 }) }),
  { maxLength: 200 },
);

/** Sends every step as soon as it comes and returns what was admitted, oldest first. */
function admittedBy(meter: Meter, sequence: readonly Step[]): { atMs: number; cost: number }[] {
  const admitted: { atMs: number; cost: number }[] = [];
  let nowMs = startMs;
  for (const { gapMs, cost } of sequence) {
    nowMs += gapMs;
    if (meter.waitMs(nowMs, cost) !== 0) continue;
    meter.take(nowMs, cost);
    admitted.push({ atMs: nowMs, cost });
  }
  return admitted;
}

/** By brute force: the largest sum over [atMs, atMs + windowMs) for any admitted arrival. */
function fullest(admitted: readonly { atMs: number; cost: number }[], windowMs: number): number {
  const sums = admitted.map(({ atMs }) =>
    admitted
      .filter((other) => other.atMs >= atMs && other.atMs < atMs + windowMs)
      .reduce((sum, { cost }) => sum + cost, 0),
  );
  return Math.max(0, ...sums);
}

const shapes: Record<string, () => Meter> = {
  refill: () => new RefillMeter({ amount: 60, windowMs: 1000, burstFraction: 1 }),
  'refill with a small burst': () => new RefillMeter({ amount: 600, windowMs: 10_000, burstFraction: 0.1 }),
  fixed: () => new FixedMeter({ amount: 60, windowMs: 1000 }),
  slices: () => new SliceMeter({ amount: 600, windowMs: 10_000, sliceMs: 1000 }),
  rolling: () => new RollingMeter({ amount: 60, windowMs: 1000 }),
};

describe.each(Object.entries(shapes))('%s', (_name, newMeter) => {
  test('the wait it names succeeds when waited for, and not before', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 60 }), (sequence, cost) => {
        const meter = newMeter();
        admittedBy(meter, sequence);
        const nowMs = sequence.reduce((sum, { gapMs }) => sum + gapMs, startMs);
        const waitMs = meter.waitMs(nowMs, cost);
        expect(waitMs).toBeLessThanOrEqual(1000);
        if (waitMs > 2) expect(meter.waitMs(nowMs + waitMs - 2, cost)).toBeGreaterThan(0);
        expect(meter.waitMs(nowMs + Math.ceil(waitMs), cost)).toBe(0);
      }),
    );
  });

  test('a request above the capacity never fits', () => {
    expect(newMeter().waitMs(startMs, 60)).toBe(0);
    expect(newMeter().waitMs(startMs, 61)).toBe(Number.POSITIVE_INFINITY);
  });

  test('what is used comes back in full after the window', () => {
    const meter = newMeter();
    meter.take(startMs, 60);
    expect(meter.remaining(startMs)).toBe(0);
    const fullMs = startMs + meter.fullAfterMs(startMs);
    expect(meter.remaining(fullMs)).toBeCloseTo(60);
    expect(meter.fullAfterMs(fullMs)).toBeCloseTo(0);
  });

  test('a correction returns what was charged too much', () => {
    const meter = newMeter();
    const handle = meter.take(startMs, 50);
    meter.adjust(startMs, handle, -20);
    expect(meter.remaining(startMs)).toBe(30);
    meter.adjust(startMs, handle, 40);
    expect(meter.remaining(startMs)).toBe(-10);
    expect(meter.waitMs(startMs, 1)).toBeGreaterThan(0);
  });
});

test('rolling: no window of any position holds more than the amount', () => {
  fc.assert(
    fc.property(steps, (sequence) => {
      const admitted = admittedBy(new RollingMeter({ amount: 60, windowMs: 1000 }), sequence);
      expect(fullest(admitted, 1000)).toBeLessThanOrEqual(60);
    }),
  );
});

test('rolling: a request is refused only when its window would hold more than the amount', () => {
  fc.assert(
    fc.property(steps, (sequence) => {
      const meter = new RollingMeter({ amount: 60, windowMs: 1000 });
      const admitted: { atMs: number; cost: number }[] = [];
      let nowMs = startMs;
      for (const { gapMs, cost } of sequence) {
        nowMs += gapMs;
        const used = admitted
          .filter(({ atMs }) => atMs > nowMs - 1000)
          .reduce((sum, entry) => sum + entry.cost, 0);
        expect(meter.waitMs(nowMs, cost) === 0).toBe(used + cost <= 60);
        if (used + cost > 60) continue;
        meter.take(nowMs, cost);
        admitted.push({ atMs: nowMs, cost });
      }
    }),
  );
});

test('rolling: the log of a long run is cut off without losing a charge', () => {
  const meter = new RollingMeter({ amount: 100, windowMs: 1000 });
  for (let count = 0; count < 10_000; count++) meter.take(startMs + count * 10, 1);
  const nowMs = startMs + 99_990;
  expect(meter.remaining(nowMs)).toBe(0);
  const handle = meter.take(nowMs, 10);
  meter.adjust(nowMs, handle, -10);
  expect(meter.remaining(nowMs + 500)).toBe(50);
});

test('rolling: a correction finds its charge after the log was cut off, and none that has left', () => {
  const meter = new RollingMeter({ amount: 10_000, windowMs: 1000 });
  const gone = meter.take(startMs, 100);
  for (let count = 0; count < 2000; count++) meter.take(startMs, 1);
  const handle = meter.take(startMs + 999, 100);
  expect(meter.remaining(startMs + 1000)).toBe(9900);
  meter.adjust(startMs + 1000, gone, -50);
  expect(meter.remaining(startMs + 1000)).toBe(9900);
  meter.adjust(startMs + 1000, handle, -50);
  expect(meter.remaining(startMs + 1000)).toBe(9950);
});

test('rolling: a correction of a charge that has left changes nothing', () => {
  const meter = new RollingMeter({ amount: 10, windowMs: 1000 });
  const gone = meter.take(startMs, 5);
  meter.take(startMs + 500, 1);
  meter.adjust(startMs + 1000, gone, -5);
  expect(meter.remaining(startMs + 1000)).toBe(9);
});

test('somebody else is refused as well and never takes more than there is', () => {
  const meter = new FixedMeter({ amount: 600, windowMs: 60_000 });
  meter.take(startMs, 600);
  const foreign = new ForeignUse(meter, { windowMs: 60_000, share: 0.4 });
  foreign.catchUp(startMs + 59_000);
  expect(meter.remaining(startMs + 59_000)).toBe(0);
});

test('refill: the wait is (used + requested - limit) / limit * window', () => {
  const meter = new RefillMeter({ amount: 500_000, windowMs: 60_000, burstFraction: 1 });
  meter.take(startMs, 500_000);
  expect(meter.waitMs(startMs, 83_734)).toBeCloseTo(10_048.08);
});

test('refill: a window admits at most rate times window plus capacity', () => {
  fc.assert(
    fc.property(steps, (sequence) => {
      const meter = new RefillMeter({ amount: 60, windowMs: 1000, burstFraction: 0.5 });
      expect(fullest(admittedBy(meter, sequence), 1000)).toBeLessThanOrEqual(60 + 30 + 1e-6);
    }),
  );
});

test('fixed: the counter is cleared at the window on the wall clock, so two windows may touch', () => {
  const meter = new FixedMeter({ amount: 10, windowMs: 60_000 });
  const lateMs = startMs + 59_999;
  meter.take(lateMs, 10);
  expect(meter.waitMs(lateMs, 1)).toBe(1);
  expect(meter.waitMs(startMs + 60_000, 10)).toBe(0);
});

test('fixed: a correction that comes after the window is over changes nothing', () => {
  const meter = new FixedMeter({ amount: 10, windowMs: 60_000 });
  const handle = meter.take(startMs, 10);
  meter.adjust(startMs + 60_000, handle, -10);
  expect(meter.remaining(startMs + 60_000)).toBe(10);
});

test("slices: a minute's allowance sent at once is refused after one slice's share", () => {
  const meter = new SliceMeter({ amount: 600, windowMs: 60_000, sliceMs: 1000 });
  const burst = Array.from({ length: 600 }, () => ({ gapMs: 0, cost: 1 }));
  expect(admittedBy(meter, burst)).toHaveLength(10);
  const own = new SliceMeter({ amount: 600, windowMs: 60_000, sliceMs: 1000, allowPerSlice: 25 });
  expect(admittedBy(own, burst)).toHaveLength(25);
});

test('concurrency: a slot is free only when one is given back', () => {
  const meter = new ConcurrencyMeter({ amount: 2 });
  const handle = meter.take(startMs, 1);
  meter.take(startMs, 1);
  expect(meter.waitMs(startMs + 1e9, 1)).toBeNaN();
  meter.adjust(startMs, handle, -1);
  expect(meter.waitMs(startMs, 1)).toBe(0);
});

test.each([
  ['refill', () => new RefillMeter({ amount: 600, windowMs: 60_000, burstFraction: 1 })],
  ['rolling', () => new RollingMeter({ amount: 600, windowMs: 60_000 })],
  ['fixed', () => new FixedMeter({ amount: 600, windowMs: 60_000 })],
] as const)('somebody else with 40 percent of a %s ceiling leaves 60 percent', (_name, newMeter) => {
  const meter: Meter = newMeter();
  const foreign = new ForeignUse(meter, { windowMs: 60_000, share: 0.4 });
  const attempt = (everyMs: number, fromMs: number) => {
    let admitted = 0;
    for (let nowMs = fromMs; nowMs < fromMs + 600_000; nowMs += everyMs) {
      foreign.catchUp(nowMs);
      if (meter.waitMs(nowMs, 1) !== 0) continue;
      meter.take(nowMs, 1);
      admitted++;
    }
    return admitted;
  };
  // Six a second fit beside the other party's four; ten do not, and the two of them fight for the rest.
  expect(attempt(1000 / 6, startMs)).toBeGreaterThan(3590);
  expect(attempt(100, startMs + 600_000)).toBeLessThan(5000);
});
