import { expect, test } from 'vitest';
import { summarise } from '../../../loadtest/bench/cells.ts';
import type { Visit } from '../../../loadtest/bench/measure.ts';
import { isNoisy, spreadOf } from '../../../loadtest/bench/spread.ts';

function visit(over: Partial<Visit>): Visit {
  return {
    target: 'direct',
    latencyMs: 0,
    concurrency: 16,
    round: 0,
    calls: 100,
    seconds: 1,
    latencyMsP50: 1,
    latencyMsP99: 2,
    answerBytes: 600,
    errors: {},
    cpuUsPerCall: {},
    ...over,
  };
}

test('added latency is taken within each round, then the median over the rounds', () => {
  const direct = [1, 50, 3].map((latencyMsP50, round) => visit({ round, latencyMsP50 }));
  const proxy = [2, 52, 6].map((latencyMsP50, round) => visit({ target: 'proxy', round, latencyMsP50 }));
  const cell = summarise([...direct, ...proxy]).find(({ target }) => target === 'proxy');
  expect(cell?.addedMsP50).toBe(2);
  expect(cell?.latencyMsP50).toBe(6);
});

test('CPU per call weighs each round by its calls and leaves out generator and simulator', () => {
  const cpu = (us: number) => ({ proxy: us, simulator: 1_000, generator: 1_000 });
  const [cell] = summarise([
    visit({ target: 'proxy', calls: 300, cpuUsPerCall: cpu(100) }),
    visit({ target: 'proxy', round: 1, calls: 100, cpuUsPerCall: cpu(500) }),
  ]);
  expect(cell?.ownCpuUsPerCall).toBe(200);
  expect(cell?.addedMsP50).toBeNaN();
});

test('errors of all rounds are counted by reason', () => {
  const [cell] = summarise([
    visit({ errors: { '503': 2 } }),
    visit({ round: 1, errors: { '503': 1, ECONNRESET: 4 } }),
  ]);
  expect(cell?.errors).toEqual({ '503': 3, ECONNRESET: 4 });
});

test('the spread compares visits of the same round, latency and concurrency only', () => {
  const [spread, ...others] = spreadOf([
    visit({ calls: 100 }),
    visit({ target: 'direct-again', calls: 110, latencyMsP50: 1.5 }),
    visit({ round: 1, calls: 200 }),
    visit({ target: 'direct-again', round: 1, calls: 180 }),
    visit({ target: 'direct-again', round: 1, concurrency: 64 }),
  ]);
  expect(others).toEqual([]);
  expect(spread?.callsRatio).toEqual({ median: 1, least: 0.9, greatest: 1.1 });
  expect(spread?.latencyMsP50Apart).toBe(0.5);
});

test('a run in which equal visits differ by more than 15 % is called noisy', () => {
  const pair = (calls: number) => spreadOf([visit({}), visit({ target: 'direct-again', calls })]);
  expect(isNoisy(pair(114))).toBe(false);
  expect(isNoisy(pair(80))).toBe(true);
  expect(isNoisy(pair(120))).toBe(true);
});
