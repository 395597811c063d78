import { expect, test } from 'vitest';
import { weightOf } from '#shared/tokens/estimate-tokens.ts';
import { countRealTokens, fitAndCompare } from '../../../loadtest/tokens/fit.ts';

test('the weights in the code are those that the fit prints, and err little on texts that were not fitted', () => {
  const { weights, inCode } = fitAndCompare();
  expect(weightOf).toEqual(weights);
  const biases = Object.values(inCode).map(({ bias }) => Math.abs(bias));
  expect(biases.reduce((sum, bias) => sum + bias, 0) / biases.length).toBeLessThan(7);
  for (const [kind, { p50 }] of Object.entries(inCode)) expect(p50, kind).toBeLessThan(20);
});

test('a long unbroken run is cut before it is encoded, at the cost of few tokens', () => {
  const run = 'ab1'.repeat(10_000);
  const perCut = 2;
  const pieces = run.length / 256;
  const short = countRealTokens(run.slice(0, 256));
  expect(countRealTokens(run)).toBeGreaterThan(short * (pieces - 1) - perCut * pieces);
  expect(countRealTokens(run)).toBeLessThan(short * (pieces + 1) + perCut * pieces);
  expect(countRealTokens('two words')).toBe(2);
});
