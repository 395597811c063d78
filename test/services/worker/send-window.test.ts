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

  test('a process that is always late still sends one in five', async () => {
    const clock = new ManualClock();
    const window = new SendWindow(clock, timing);
    clock.advance(1_000);
    const sent: boolean[] = [];
    for (let index = 0; index < 10; index++) sent.push(await window.opens(0));
    expect(sent).toEqual([false, false, false, false, true, false, false, false, false, true]);
  });

  test('without a rate to keep nothing is held and nothing is late', async () => {
    const clock = new ManualClock();
    clock.advance(60_000);
    expect(await new SendWindow(clock, undefined).opens(0)).toBe(true);
  });
});
