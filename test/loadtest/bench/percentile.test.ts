import { expect, test } from 'vitest';
import { median, percentile } from '../../../loadtest/bench/percentile.ts';

test('a percentile is a sample that was seen, by nearest rank', () => {
  const sorted = Float64Array.from({ length: 200 }, (_, index) => index + 1);
  expect(percentile(sorted, 0.5)).toBe(100);
  expect(percentile(sorted, 0.99)).toBe(198);
  expect(percentile(sorted, 1)).toBe(200);
  expect(percentile([7], 0.99)).toBe(7);
});

test('a percentile of nothing is not a number, so that it cannot pass for a fast one', () => {
  expect(percentile([], 0.5)).toBeNaN();
});

test('a median leaves out what was not measured', () => {
  expect(median([5, Number.NaN, 1, 3])).toBe(3);
  expect(median([4, 1])).toBe(2.5);
  expect(median([Number.NaN])).toBeNaN();
});
