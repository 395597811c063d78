import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '#shared/kernel/random.ts';
import { backoffMs } from '../../../services/worker/failures/backoff.ts';
import { parseGoDuration, retryAfterMs } from '../../../services/worker/failures/retry-after.ts';
import { holds } from '../../harness/property.ts';

const nowMs = Date.parse('2026-08-01T12:00:00Z');
const retryInfo = (retryDelay: unknown) => ({ error: { details: [{ retryDelay }] } });

describe('order of trust', () => {
  const headers = { 'retry-after-ms': '1500', 'retry-after': '7' };
  const body = retryInfo('3s');
  const message = 'Please try again in 4s.';

  test('retry-after-ms, retry-after, the body, the message, nothing', () => {
    expect(retryAfterMs(headers, body, message, nowMs)).toBe(1_500);
    expect(retryAfterMs({ 'retry-after': '7' }, body, message, nowMs)).toBe(7_000);
    expect(retryAfterMs({}, body, message, nowMs)).toBe(3_000);
    expect(retryAfterMs({}, undefined, message, nowMs)).toBe(4_000);
    expect(retryAfterMs({}, undefined, 'no hint', nowMs)).toBeUndefined();
  });

  test('one that cannot be read is passed over', () => {
    expect(retryAfterMs({ 'retry-after-ms': 'soon', 'retry-after': '7' }, body, message, nowMs)).toBe(7_000);
    expect(retryAfterMs({ 'retry-after': 'soon' }, body, message, nowMs)).toBe(3_000);
    expect(retryAfterMs({ 'retry-after': '-1' }, retryInfo('soon'), message, nowMs)).toBe(4_000);
  });
});

describe('retry-after', () => {
  test.each([
    ['0', 0],
    ['20', 20_000],
    [' 20 ', 20_000],
    ['0.25', 250],
    ['1.0001', 1_001],
    ['Sat, 01 Aug 2026 12:00:30 GMT', 30_000],
    ['Sat, 01 Aug 2026 11:59:00 GMT', 0],
    ['', undefined],
    ['Infinity', undefined],
    ['1e9', undefined],
    ['NaN', undefined],
  ])('%j means %j ms', (value, expected) => {
    expect(retryAfterMs({ 'retry-after': value }, undefined, '', nowMs)).toBe(expected);
  });

  test.each([
    ['1', 1],
    ['1.2', 2],
    ['-5', undefined],
    ['5s', undefined],
  ])('-ms: %j means %j ms', (value, expected) => {
    expect(retryAfterMs({ 'retry-after-ms': value }, undefined, '', nowMs)).toBe(expected);
  });
});

describe('Go durations', () => {
  test.each([
    ['20ms', 20],
    ['7.66s', 7_660],
    ['1m2.7264s', 62_727],
    ['2h3m4s', 7_384_000],
    ['0s', 0],
    ['1.5h', 5_400_000],
  ])('%s is %d ms', (text, expected) => {
    expect(parseGoDuration(text)).toBe(expected);
  });

  test.each(['', '5', 's', '5 s', '-5s', '5d', '1m 2s', '5sx', '.5s', '1e3s', '１s'])(
    '%j is none',
    (text) => {
      expect(parseGoDuration(text)).toBeUndefined();
    },
  );

  test('every duration survives being written and read', async () => {
    const parts = fc.record({ h: fc.nat(99), m: fc.nat(59), s: fc.nat(59), ms: fc.nat(999) });
    await holds(
      300,
      fc.property(parts, ({ h, m, s, ms }) => {
        expect(parseGoDuration(`${h}h${m}m${s}s${ms}ms`)).toBe(((h * 60 + m) * 60 + s) * 1_000 + ms);
      }),
    );
  });
});

describe('hints in a body or message', () => {
  test.each([
    [retryInfo(5)],
    [retryInfo(undefined)],
    [{ error: { details: {} } }],
    [{ error: null }],
    [{ error: { details: [null] } }],
    [{}],
  ])('%j holds none', (body) => {
    expect(retryAfterMs({}, body, '', nowMs)).toBeUndefined();
  });

  test.each([
    ['Please try again in 1h30m.', 5_400_000],
    ['Please retry after 22 seconds.', 22_000],
    ['retry after 1 second', 1_000],
    ['try again in a while', undefined],
    ['You may not try again', undefined],
  ])('%s', (message, expected) => {
    expect(retryAfterMs({}, undefined, message, nowMs)).toBe(expected);
  });
});

test('a retry waits a whole number of milliseconds between 0 and the ceiling, which doubles and ends', async () => {
  const random = seededRandom(1);
  await holds(
    500,
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.integer({ min: 1, max: 1_000 }),
      fc.integer({ min: 1, max: 60_000 }),
      (attempt, baseMs, maxMs) => {
        const delayMs = backoffMs(attempt, baseMs, maxMs, random);
        expect(Number.isInteger(delayMs)).toBe(true);
        expect(delayMs).toBeGreaterThanOrEqual(0);
        expect(delayMs).toBeLessThanOrEqual(Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30)));
      },
    ),
  );
  const highest = { next: () => 0.999_999, bytes: () => new Uint8Array() };
  expect([1, 2, 3, 4, 99].map((attempt) => backoffMs(attempt, 100, 500, highest))).toEqual([
    100, 200, 400, 500, 500,
  ]);
});
