import { describe, expect, test } from 'vitest';
import { ManualClock } from '#test/harness/manual-clock.ts';
import { SendWindow } from '../../../services/worker/send-window.ts';

const timing = { holdMs: 20, maxAgeMs: 30 };

describe('the window in which a granted request is sent', () => {
  test('a fresh grant is held until it is old enough, and then sent', async () => {
    const clock = new ManualClock();
    const opened = new SendWindow(clock, timing).opens(0);
    clock.advance(19);
    expect(clock.pendingTimers).toBe(1);
    clock.advance(1);
    expect(await opened).toBe(true);
  });

  test('a grant that is older than its margin is given back, one at the margin is not', async () => {
    const clock = new ManualClock();
    const window = new SendWindow(clock, timing);
    clock.advance(30);
    expect(await window.opens(0)).toBe(true);
    clock.advance(1);
    expect(await window.opens(0)).toBe(false);
  });

  test('a process that is always late gives a stall back, and then one for ten that it sends', async () => {
    const clock = new ManualClock();
    const window = new SendWindow(clock, timing);
    clock.advance(1_000);
    let givenBack = 0;
    for (let index = 0; index < 64 + 1_100; index++) if (!(await window.opens(0))) givenBack++;
    expect(givenBack).toBeGreaterThanOrEqual(64 + 95);
    expect(givenBack).toBeLessThanOrEqual(64 + 100);
  });

  test('without a rate to keep nothing is held and nothing is late', async () => {
    const clock = new ManualClock();
    clock.advance(60_000);
    expect(await new SendWindow(clock, undefined).opens(0)).toBe(true);
  });
});
