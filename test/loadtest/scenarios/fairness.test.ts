import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  gapBetween,
  gapBound,
  giniCoefficient,
  jainIndex,
  serviceOf,
  shareErrorMax,
  summarizeGaps,
} from '../../../loadtest/judge/fairness.ts';
import { call } from './calls.ts';

const always = [{ fromMs: 0, toMs: 1_000 }];
const within = { fromMs: 0, toMs: 1_000 };
const cost = { input: 1, output: 4 };
const charges = (...amounts: [atMs: number, amount: number][]) =>
  amounts.map(([atMs, amount]) => ({ atMs, amount }));

describe('service', () => {
  test('is real usage in weighted tokens', () => {
    expect(serviceOf(call({ atMs: 5, inputTokens: 100, outputTokens: 10 }), cost)).toEqual({
      atMs: 5,
      amount: 140,
    });
  });

  test('is nothing for a call that was refused or failed', () => {
    expect(serviceOf(call({ atMs: 5, refused: true, status: 429 }), cost).amount).toBe(0);
    expect(serviceOf(call({ atMs: 5, status: 500 }), cost).amount).toBe(0);
  });
});

describe('shares', () => {
  test('have no error when service follows the weights', () => {
    expect(shareErrorMax([1, 2, 4].map((weight) => ({ weight, amount: 10 * weight })))).toBeCloseTo(0);
  });

  test('have the error of the tenant that is worst off', () => {
    const shares = [
      { weight: 1, amount: 50 },
      { weight: 1, amount: 150 },
    ];
    expect(shareErrorMax(shares)).toBeCloseTo(0.5);
  });

  test('count nothing served as an error of the whole share', () => {
    const shares = [
      { weight: 4, amount: 100 },
      { weight: 1, amount: 0 },
    ];
    expect(shareErrorMax(shares)).toBeCloseTo(1);
  });
});

describe('the indices of equality', () => {
  test('know the extremes', () => {
    expect(jainIndex([3, 3, 3, 3])).toBeCloseTo(1);
    expect(jainIndex([0, 0, 0, 9])).toBeCloseTo(0.25);
    expect(giniCoefficient([3, 3, 3, 3])).toBeCloseTo(0);
    expect(giniCoefficient([0, 0, 0, 9])).toBeCloseTo(0.75);
    expect(giniCoefficient([1, 3])).toBeCloseTo(0.25);
  });

  test('do not depend on order or scale, and stay within their bounds', () => {
    const values = fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 50 }), (list, factor) => {
        const other = list.map((value) => value * factor).reverse();
        expect(jainIndex(other)).toBeCloseTo(jainIndex(list));
        expect(giniCoefficient(other)).toBeCloseTo(giniCoefficient(list));
        expect(jainIndex(list)).toBeGreaterThanOrEqual(1 / list.length - 1e-9);
        expect(jainIndex(list)).toBeLessThanOrEqual(1 + 1e-9);
        expect(giniCoefficient(list)).toBeGreaterThanOrEqual(-1e-9);
        expect(giniCoefficient(list)).toBeLessThan(1);
      }),
    );
  });
});

describe('the gap between two tenants', () => {
  test('is one call when they take turns', () => {
    const f = { weight: 1, charges: charges([0, 10], [2, 10], [4, 10]), waiting: always };
    const g = { weight: 1, charges: charges([1, 10], [3, 10], [5, 10]), waiting: always };
    expect(gapBetween(f, g, within)).toBe(10);
  });

  test('is measured in service per weight', () => {
    const f = { weight: 2, charges: charges([0, 10], [1, 10]), waiting: always };
    const g = { weight: 1, charges: charges([2, 10]), waiting: always };
    expect(gapBetween(f, g, within)).toBe(10);
  });

  test('finds a swing that starts ahead and ends behind', () => {
    const f = { weight: 1, charges: charges([0, 10], [1, 10]), waiting: always };
    const g = { weight: 1, charges: charges([2, 10], [3, 10], [4, 10], [5, 10]), waiting: always };
    expect(gapBetween(f, g, within)).toBe(40);
  });

  test('forgets what was served while one of them had nothing waiting', () => {
    const f = { weight: 1, charges: charges([0, 500], [600, 10]), waiting: always };
    const g = { weight: 1, charges: charges([601, 10]), waiting: [{ fromMs: 500, toMs: 1_000 }] };
    expect(gapBetween(f, g, within)).toBe(10);
  });

  test('is what trying every interval by hand finds', () => {
    const list = fc
      .array(fc.tuple(fc.integer({ min: 0, max: 1_200 }), fc.nat(9)), { maxLength: 15 })
      .map((pairs) => charges(...pairs.toSorted((a, b) => a[0] - b[0])));
    const weight = fc.constantFrom(1, 2, 4);
    fc.assert(
      fc.property(list, list, weight, weight, (left, right, wf, wg) => {
        const seen = (all: typeof left) => all.filter(({ atMs }) => atMs < 1_000);
        const times = [...seen(left), ...seen(right)].map(({ atMs }) => atMs);
        const sum = (all: typeof left, from: number, to: number) =>
          seen(all).reduce((total, { atMs, amount }) => total + (atMs >= from && atMs <= to ? amount : 0), 0);
        const byHand = times.flatMap((from) =>
          times.map((to) => Math.abs(sum(left, from, to) / wf - sum(right, from, to) / wg)),
        );
        const gap = gapBetween(
          { weight: wf, charges: left, waiting: always },
          { weight: wg, charges: right, waiting: always },
          within,
        );
        // Between charges of the same moment the judge sees an order, the hand does not.
        fc.pre(new Set(times).size === times.length);
        expect(gap).toBeCloseTo(Math.max(0, ...byHand));
      }),
    );
  });

  test('is summed up over all pairs', () => {
    const idle = { weight: 1, charges: [], waiting: always };
    const busy = { weight: 1, charges: charges([0, 30]), waiting: always };
    const { max, mean, variance } = summarizeGaps([idle, idle, busy], within);
    expect([max, mean, variance]).toEqual([30, 20, 200]);
  });
});

describe('the bound of the gap', () => {
  test('is twice the larger of the largest prompt and the output in flight of one tenant', () => {
    const longPrompt = [call({ atMs: 0, inputTokens: 1_000, outputTokens: 10 })];
    expect(gapBound(longPrompt, cost, [1, 2], 'in flight')).toBe(2_000);
    const overlapping = [0, 1, 2].map((atMs) => call({ atMs, finishedMs: 10, outputTokens: 200 }));
    expect(gapBound(overlapping, cost, [1, 2], 'in flight')).toBe(2 * 4 * 600);
    expect(gapBound(overlapping, cost, [1, 2], 'one call')).toBe(2 * 4 * 200);
  });

  test('does not add up output of calls that follow one another, nor of different tenants', () => {
    const sequence = [0, 10, 20].map((atMs) => call({ atMs, finishedMs: atMs + 9, outputTokens: 200 }));
    expect(gapBound(sequence, cost, [1], 'in flight')).toBe(2 * 4 * 200);
    const apart = ['a', 'b'].map((tenant) => call({ atMs: 0, finishedMs: 9, tenant, outputTokens: 200 }));
    expect(gapBound(apart, cost, [1], 'in flight')).toBe(2 * 4 * 200);
  });
});
