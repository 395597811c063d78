import { expect, test } from 'vitest';
import { z } from 'zod';
import { quotaFields } from '#config/limit-schema.ts';

const quotas = z.strictObject(quotaFields);
const mistakes = (limits: unknown[], budgets: unknown[] = []) =>
  (quotas.safeParse({ limits, budgets }).error?.issues ?? []).map(({ message }) => message);

test('a limit counts one thing, in a window or at once', () => {
  expect(mistakes([{ requests: 1 }, { tokens: 5, window: '1h', per: ['user', 'model'] }])).toEqual([]);
  expect(mistakes([{ concurrency: 3, on_full: 'queue' }])).toEqual([]);
  expect(mistakes([{}])).toEqual([expect.stringContaining('give one of requests, tokens')]);
  expect(mistakes([{ requests: 1, tokens: 1 }])).toEqual([expect.stringContaining('give one of')]);
  expect(mistakes([{ concurrency: 3, window: '1m' }])).toEqual(['concurrency has no window']);
});

test('what has no meaning is refused: a burst without a bucket, a calendar of 30 minutes, an unknown axis', () => {
  expect(mistakes([{ requests: 1, burst: 2 }])).toEqual(['only a token_bucket has a burst']);
  expect(mistakes([{ requests: 1, calendar: true, window: '30m' }])).toEqual([
    'a calendar window is one unit long, such as 1d',
  ]);
  expect(mistakes([{ requests: 1, calendar: true, algorithm: 'token_bucket' }])).toHaveLength(1);
  expect(mistakes([{ requests: 1, per: ['planet'] }])).toHaveLength(1);
  expect(mistakes([{ requests: 1, window: '0m' }])).toHaveLength(1);
  expect(mistakes([], [{ usd: 5, reset: '30d', calendar: true }])).toHaveLength(1);
});

test('two limits that count the same calls in the same window are refused, whatever their amounts', () => {
  expect(mistakes([{ requests: 1 }, { requests: 9 }])).toEqual(['another one counts the same']);
  expect(mistakes([{ requests: 1 }, { requests: 9, window: '1h' }])).toEqual([]);
  expect(mistakes([], [{ usd: 5 }, { usd: 7 }])).toEqual(['another one counts the same']);
});
