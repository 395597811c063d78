import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  fullestWindow,
  type JudgedCeiling,
  judgeCeiling,
  sumWithin,
  wholeWindows,
} from '../../../loadtest/judge/ceilings.ts';
import type { JudgedCall } from '../../../loadtest/judge/judged-call.ts';
import { call } from './calls.ts';

const charge = (atMs: number, amount = 1) => ({ atMs, amount });
const requests = (amount: number, ownShare = 1): JudgedCeiling => ({
  name: 'requests',
  amount,
  ownShare,
  charge: ({ atMs }) => charge(atMs),
});

describe('the fullest rolling window', () => {
  test('counts a window as half open: what is exactly one window apart is never together', () => {
    expect(fullestWindow([charge(0), charge(1_000)], 1_000).amount).toBe(1);
    expect(fullestWindow([charge(0), charge(999)], 1_000)).toEqual({ amount: 2, endMs: 999 });
  });

  test('sees a burst across the border of two wall-clock windows', () => {
    const burst = [...Array(10).keys()].flatMap((i) => [charge(59_900 + i), charge(60_000 + i)]);
    expect(fullestWindow(burst, 60_000).amount).toBe(20);
  });

  test('is nothing of nothing', () => expect(fullestWindow([], 1_000).amount).toBe(0));

  test('is what trying every window by hand finds, in whatever order the charges come', () => {
    const someCharge = fc.record({ atMs: fc.integer({ min: 0, max: 200 }), amount: fc.nat(9) });
    fc.assert(
      fc.property(
        fc.array(someCharge, { maxLength: 40 }),
        fc.integer({ min: 1, max: 80 }),
        (charges, windowMs) => {
          const byHand = charges.map(({ atMs }) =>
            sumWithin(charges, { fromMs: atMs, toMs: atMs + windowMs }),
          );
          expect(fullestWindow(charges, windowMs).amount).toBe(Math.max(0, ...byHand));
        },
      ),
    );
  });
});

describe('the whole windows of a run', () => {
  test('leave out the first and an unfinished last one', () => {
    expect(wholeWindows({ fromMs: 500, toMs: 3_700 }, 1_000, false)).toEqual({
      fromMs: 1_500,
      toMs: 3_500,
      count: 2,
    });
  });

  test('are those of the wall clock when the provider counts so', () => {
    expect(wholeWindows({ fromMs: 500, toMs: 3_700 }, 1_000, true)).toEqual({
      fromMs: 1_000,
      toMs: 3_000,
      count: 2,
    });
  });

  test('are none when the run was too short', () => {
    expect(wholeWindows({ fromMs: 0, toMs: 1_900 }, 1_000, false).count).toBe(0);
  });
});

describe('the use of a ceiling', () => {
  const steady = (perSecond: number, seconds: number, over: Partial<JudgedCall> = {}) =>
    Array.from({ length: perSecond * seconds }, (_, i) => call({ ...over, atMs: (i * 1_000) / perSecond }));
  const question = (calls: JudgedCall[], toMs: number, credentials = ['000001']) => ({
    calls,
    phases: [{ span: { fromMs: 0, toMs }, credentials }],
    windowMs: 1_000,
    aligned: false,
  });

  test('is 1 without overshoot when exactly the ceiling arrives', () => {
    const use = judgeCeiling(requests(10), question(steady(10, 4), 4_000));
    expect(use).toMatchObject({ used: 1, overshoot: 0, windows: 3 });
  });

  test('follows limits that changed: each phase is measured against its own', () => {
    const later = steady(10, 4).map((each) => ({ ...each, atMs: each.atMs + 4_000 }));
    const phases = [
      { span: { fromMs: 0, toMs: 4_000 }, credentials: ['000001'], limitPart: 0.5 },
      { span: { fromMs: 4_000, toMs: 8_000 }, credentials: ['000001'] },
    ];
    const asked = { ...question([...steady(5, 4), ...later], 8_000), phases };
    expect(judgeCeiling(requests(10), asked)).toMatchObject({ used: 1, overshoot: 0 });
    const tooMany = { ...asked, calls: [...asked.calls, call({ atMs: 1_500 })] };
    expect(judgeCeiling(requests(10), tooMany).overshoot).toBeCloseTo(0.2);
  });

  test('is 0.8 when a fifth is missing', () => {
    const use = judgeCeiling(requests(10), question(steady(8, 4), 4_000));
    expect(use.used).toBeCloseTo(0.8);
    expect(use.overshoot).toBeCloseTo(-0.2);
  });

  test('counts a refused arrival as overshoot and not as use', () => {
    const extra = call({ atMs: 2_500, refused: true, status: 429 });
    const use = judgeCeiling(requests(10), question([...steady(10, 4), extra], 4_000));
    expect(use.used).toBe(1);
    expect(use.overshoot).toBeCloseTo(0.1);
  });

  test('adds up credentials for use and takes the worst of them for overshoot', () => {
    const calls = [...steady(10, 4), ...steady(20, 4, { credential: '000002' })];
    const use = judgeCeiling(requests(10), question(calls, 4_000, ['000001', '000002']));
    expect(use.used).toBeCloseTo(1.5);
    expect(use.overshoot).toBeCloseTo(1);
  });

  test('is measured against our own part of a shared key', () => {
    expect(judgeCeiling(requests(10, 0.6), question(steady(6, 4), 4_000)).used).toBeCloseTo(1);
  });

  test('is unknown when there was no whole window', () => {
    expect(judgeCeiling(requests(10), question(steady(10, 1), 1_000)).used).toBeNull();
  });
});
