import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { intersect, longestCommon, waitingSpans } from '../../../loadtest/judge/backlog.ts';
import { earlyArrivals, percentile, servedAtMs } from '../../../loadtest/judge/waits.ts';
import { call } from './calls.ts';

describe('the times in which work waits', () => {
  test('end when the last job is served and begin again with the next', () => {
    const waits = [
      { fromMs: 0, toMs: 10 },
      { fromMs: 5, toMs: 20 },
      { fromMs: 50, toMs: undefined },
    ];
    expect(waitingSpans(waits, 100)).toEqual([
      { fromMs: 0, toMs: 20 },
      { fromMs: 50, toMs: 100 },
    ]);
  });

  test('are not cut where one job is served as the next comes', () => {
    const waits = [
      { fromMs: 0, toMs: 10 },
      { fromMs: 10, toMs: 20 },
    ];
    expect(waitingSpans(waits, 100)).toEqual([{ fromMs: 0, toMs: 20 }]);
  });

  test('contain every moment in which some job waits, and no other', () => {
    const wait = fc
      .tuple(fc.nat(50), fc.nat(20))
      .map(([from, lasts]) => ({ fromMs: from, toMs: from + lasts }));
    fc.assert(
      fc.property(fc.array(wait, { maxLength: 12 }), (waits) => {
        const spans = waitingSpans(waits, 100);
        for (let moment = 0.5; moment < 100; moment++) {
          const isIn = ({ fromMs, toMs }: { fromMs: number; toMs: number }) =>
            fromMs < moment && moment < toMs;
          expect(spans.some(isIn)).toBe(waits.some(isIn));
        }
      }),
    );
  });

  test('have in common what lies in all of them', () => {
    const left = [
      { fromMs: 0, toMs: 10 },
      { fromMs: 20, toMs: 40 },
    ];
    const right = [{ fromMs: 5, toMs: 30 }];
    expect(intersect(left, right)).toEqual([
      { fromMs: 5, toMs: 10 },
      { fromMs: 20, toMs: 30 },
    ]);
    expect(longestCommon([left, right])).toEqual({ fromMs: 20, toMs: 30 });
    expect(longestCommon([left, []])).toBeUndefined();
  });
});

describe('waits', () => {
  test('have a percentile by nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect([50, 99, 100].map((rank) => percentile(values, rank))).toEqual([50, 99, 100]);
    expect(percentile([7], 99)).toBe(7);
    expect(percentile([], 50)).toBeNull();
  });

  test('end with the first arrival that was served, not with one that was refused', () => {
    const refused = call({ atMs: 1, job: 'x', refused: true, status: 429 });
    const served = servedAtMs([refused, call({ atMs: 5, job: 'x' }), call({ atMs: 9, job: 'x' })]);
    expect(served.get('x')).toBe(5);
  });
});

describe('arrivals before Retry-After has passed', () => {
  const refusal = call({ atMs: 0, finishedMs: 10, status: 429, fault: 'kind:quota,retryAfter' });

  test('are those after the grace and before the time', () => {
    const calls = [
      refusal,
      call({ atMs: 50 }),
      call({ atMs: 500 }),
      call({ atMs: 1_009 }),
      call({ atMs: 1_011 }),
    ];
    expect(earlyArrivals(calls, 1_000, 100)).toBe(2);
  });

  test('are judged for each credential alone', () => {
    expect(earlyArrivals([refusal, call({ atMs: 500, credential: '000002' })], 1_000, 100)).toBe(0);
  });
});
