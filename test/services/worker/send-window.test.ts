import { describe, expect, test } from 'vitest';
import { ManualClock } from '#test/harness/manual-clock.ts';
import { SendWindow } from '../../../services/worker/send-window.ts';

const grant = { askedMs: 0, lastsMs: undefined };

describe('the window in which a granted request is sent', () => {
  test('a grant that is too old is given back, one that is just young enough is not', () => {
    const clock = new ManualClock();
    const window = new SendWindow(clock, 30);
    clock.advance(30);
    expect(window.isOpen(grant)).toBe(true);
    clock.advance(1);
    expect(window.isOpen(grant)).toBe(false);
  });

  test('a grant whose slice ends before the request would arrive is given back, however young it is', () => {
    const clock = new ManualClock();
    const window = new SendWindow(clock, 30);
    clock.advance(10);
    expect(window.isOpen({ askedMs: 0, lastsMs: 15 })).toBe(true);
    expect(window.isOpen({ askedMs: 0, lastsMs: 14 })).toBe(false);
  });

  test('a process that is always late gives a stall back, and then one for ten that it sends', () => {
    const clock = new ManualClock();
    const window = new SendWindow(clock, 30);
    clock.advance(1_000);
    let givenBack = 0;
    for (let index = 0; index < 64 + 1_100; index++) if (!window.isOpen(grant)) givenBack++;
    expect(givenBack).toBeGreaterThanOrEqual(64 + 95);
    expect(givenBack).toBeLessThanOrEqual(64 + 100);
  });

  test('without a rate to keep nothing is late', () => {
    const clock = new ManualClock();
    clock.advance(60_000);
    expect(new SendWindow(clock, undefined).isOpen(grant)).toBe(true);
  });
});
