import type { Clock } from '#shared/kernel/clock.ts';
import type { Grant } from '#shared/queue/fair/grant.ts';

/**
 * A stall's worth of late grants is given back, and beyond it one for every ten that are sent: a process that is always
 * late only shifts its windows, and giving everything back would leave the ceiling unused.
 */
const givenBackMax = 64;
const givenBackShare = 0.1;
/** What a request takes to the provider, as far as slices are concerned. */
const onTheWayMs = 5;

/**
 * Keeps requests in the window their grant was counted in. What was long on its way (a busy process, a slow Redis)
 * would reach the provider in the next window together with that window's own calls.
 */
export class SendWindow {
  readonly #clock: Clock;
  readonly #ageMaxMs: number | undefined;
  /** How many late grants may be given back. */
  #credit = givenBackMax;

  /** Without an age nothing is late. */
  constructor(clock: Clock, ageMaxMs: number | undefined) {
    this.#clock = clock;
    this.#ageMaxMs = ageMaxMs;
  }

  /** Whether the request may be sent now; false when it is too late and the grant is to be given back. */
  isOpen({ askedMs, lastsMs = Number.POSITIVE_INFINITY }: Pick<Grant, 'askedMs' | 'lastsMs'>): boolean {
    if (this.#ageMaxMs === undefined) return true;
    const isLate = this.#clock.monotonicMs() - askedMs > Math.min(this.#ageMaxMs, lastsMs - onTheWayMs);
    if (isLate && this.#credit >= 1) {
      this.#credit--;
      return false;
    }
    this.#credit = Math.min(givenBackMax, this.#credit + givenBackShare);
    return true;
  }
}
