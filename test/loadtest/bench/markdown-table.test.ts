import { expect, test } from 'vitest';
import { markdownTable, shown } from '../../../loadtest/bench/markdown-table.ts';

test('a table is Markdown whose columns line up', () => {
  expect(
    markdownTable(
      ['target', 'calls/s'],
      [
        ['direct', '9715'],
        ['sluice-again', '8'],
      ],
    ).split('\n'),
  ).toEqual([
    '| target       | calls/s |',
    '|--------------|--------:|',
    '| direct       |    9715 |',
    '| sluice-again |       8 |',
  ]);
});

test('a number that was not measured is shown as a dash', () => {
  expect(shown(Number.NaN)).toBe('-');
  expect(shown(1.005, 1)).toBe('1.0');
});
