import { expect, test } from 'vitest';
import { TickBatch } from '#shared/kernel/tick-batch.ts';

const squaresOf = (sizeMax: number) => {
  const runs: number[][] = [];
  const batch = new TickBatch<number, number>(async (items) => {
    runs.push([...items]);
    return items.map((item) => item * item);
  }, sizeMax);
  return { runs, batch };
};

test('what is added in one tick runs together, however many promises lie before it, and each gets its own answer', async () => {
  const { runs, batch } = squaresOf(10);
  const later = async (value: number, turns: number) => {
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    return batch.add(value);
  };
  expect(await Promise.all([later(1, 0), later(2, 3), later(3, 9)])).toEqual([1, 4, 9]);
  expect(runs).toEqual([[1, 2, 3]]);
  expect(await batch.add(4)).toBe(16);
});

test('no run is larger than the most', async () => {
  const { runs, batch } = squaresOf(2);
  expect(await Promise.all([1, 2, 3].map((value) => batch.add(value)))).toEqual([1, 4, 9]);
  expect(runs).toEqual([[1, 2], [3]]);
});

test('a run that fails, fails for all of it and for nobody after', async () => {
  let fails = true;
  const batch = new TickBatch<number, number>(async (items) => {
    if (fails) throw new Error('away');
    return items;
  }, 9);
  const results = await Promise.allSettled([batch.add(1), batch.add(2)]);
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  fails = false;
  expect(await batch.add(3)).toBe(3);
});
