import { expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { isJobId, newId } from '#shared/kernel/ids.ts';
import { seededRandom, systemRandom } from '#shared/kernel/random.ts';

test('a sleep ends when its signal aborts, before or during it, and leaves no listener behind', async () => {
  const hour = 3_600_000;
  await systemClock.sleep(hour, AbortSignal.abort());
  const abort = new AbortController();
  const slept = systemClock.sleep(hour, abort.signal);
  abort.abort();
  await slept;
});

test('a sleep lasts at least as long as asked', async () => {
  const before = systemClock.monotonicMs();
  await systemClock.sleep(20);
  // Node's timers count whole milliseconds.
  expect(systemClock.monotonicMs() - before).toBeGreaterThanOrEqual(19);
});

test('a timer that is cancelled does not run, and may be cancelled again', async () => {
  let ran = 0;
  const timers = [systemClock.after(1, () => ran++), systemClock.every(1, () => ran++)];
  for (const timer of [...timers, ...timers]) timer.cancel();
  await systemClock.sleep(5);
  expect(ran).toBe(0);
});

test('a period repeats until it is cancelled', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let ran = 0;
  const timer = systemClock.every(1, () => {
    ran++;
    if (ran === 3) resolve();
  });
  await promise;
  timer.cancel();
  expect(ran).toBe(3);
});

test('the same seed gives the same chance, another seed another one, and all of it is in range', () => {
  const draw = (seed: number) => {
    const random = seededRandom(seed);
    return Array.from({ length: 1_000 }, () => random.next());
  };
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
  const mean = draw(3).reduce((sum, each) => sum + each, 0) / 1_000;
  expect(mean).toBeGreaterThan(0.45);
  expect(mean).toBeLessThan(0.55);
  for (const each of [...draw(4), systemRandom.next()]) expect(each >= 0 && each < 1).toBe(true);
  expect(seededRandom(1).bytes(5)).toHaveLength(5);
});

test('ids are never the same twice, and only a job id is taken for one', () => {
  const ids = new Set(Array.from({ length: 1_000 }, () => newId('job')));
  expect(ids.size).toBe(1_000);
  for (const id of ids) expect(isJobId(id)).toBe(true);
  for (const text of [
    '',
    'job_',
    newId('worker'),
    `${newId('job')}0`,
    ` ${newId('job')}`,
    'job_../../etc',
    newId('job').toUpperCase(),
  ]) {
    expect(isJobId(text)).toBe(false);
  }
});
