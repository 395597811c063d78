import { expect, test } from 'vitest';
import { cpuTimeUs, parseCpuTimeUs } from '../../../loadtest/bench/cpu-time.ts';

const rest = 'S 1 2 3 0 -1 4194560 10 11 12 13 250 50 7 8 20 0 11 0 12345';

test('CPU time is user plus system time, whatever the program is called', () => {
  expect(parseCpuTimeUs(`42 (node) ${rest}`)).toBe(3_000_000);
  expect(parseCpuTimeUs(`42 (a) b (c d) ${rest}`)).toBe(3_000_000);
});

test('the CPU time of a process that is not there is not a number', () => {
  expect(cpuTimeUs(2 ** 30)).toBeNaN();
});
