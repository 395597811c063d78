import type { Clock } from '#shared/kernel/clock.ts';

/** How long after it was asked for a grant is used: not before `holdMs`, not after `maxAgeMs`. */
export interface GrantTiming {
  holdMs: number;
  maxAgeMs: number;
}

/**
 * A stall's worth of late grants is given back, and beyond it one for every ten that are sent: a process that is always
 * late only shifts its windows, and giving everything back would leave the ceiling unused.
 */
const givenBackMax = 64;
const givenBackShare = 0.1;

/**
 * Keeps requests in the window their grant was counted in. What was long on its way (a busy process, a slow Redis)
 * would reach the provider in the next window together with that window's own calls. A short hold takes the jitter out
 * of what comes before, as a playout buffer does for packets.
 */
export class SendWindow {
  readonly #clock: Clock;
  readonly #timing: GrantTiming | undefined;
  /** How many late grants may be given back. */
  #credit = givenBackMax;

  /** Without a timing nothing is held and nothing is late. */
  constructor(clock: Clock, timing: GrantTiming | undefined) {
    this.#clock = clock;
    this.#timing = timing;
  }

  /** Waits until the request may be sent; false when it is too late and the grant is to be given back. */
  async opens(askedMs: number): Promise<boolean> {
    if (!this.#timing) return true;
    const { holdMs, maxAgeMs } = this.#timing;
    const earlyMs = askedMs + holdMs - this.#clock.monotonicMs();
    if (earlyMs > 0) await this.#clock.sleep(earlyMs);
    const late = this.#clock.monotonicMs() - askedMs > maxAgeMs;
    if (late && this.#credit >= 1) {
      this.#credit--;
      return false;
    }
    this.#credit = Math.min(givenBackMax, this.#credit + givenBackShare);
    return true;
  }
}
