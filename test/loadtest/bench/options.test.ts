import { expect, test } from 'vitest';
import { readOptions } from '../../../loadtest/bench/options.ts';

test('lists of numbers and targets are read in their order', () => {
  const options = readOptions(['--latency', '50,0', '--concurrency', '4', '--targets', 'sluice,direct']);
  expect(options).toMatchObject({
    latency: [50, 0],
    concurrency: [4],
    targets: ['sluice', 'direct'],
    rounds: 3,
  });
});

test('a wrong option is refused with the usage', () => {
  expect(() => readOptions(['--targets', 'fastest'])).toThrow(/--targets direct,/);
  expect(() => readOptions(['--rounds', '0'])).toThrow(/--rounds 3/);
  expect(() => readOptions(['--unknown'])).toThrow(/npm run bench/);
});
