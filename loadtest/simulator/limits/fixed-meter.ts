import { type Meter, roundingSlack } from './meter.ts';

/** A counter that is cleared at every multiple of `windowMs` on the wall clock (Mistral, Azure tokens). */
export class FixedMeter implements Meter {
  readonly limit: number;
  readonly capacity: number;
  readonly #windowMs: number;
  #window = Number.NEGATIVE_INFINITY;
  #used = 0;

  constructor(options: { amount: number; windowMs: number }) {
    this.limit = options.amount;
    this.capacity = options.amount;
    this.#windowMs = options.windowMs;
  }

  waitMs(nowMs: number, cost: number): number {
    if (cost > this.capacity) return Number.POSITIVE_INFINITY;
    this.#enter(nowMs);
    return this.#used + cost <= this.capacity + roundingSlack ? 0 : this.#msToNextWindow(nowMs);
  }

  take(nowMs: number, amount: number): number {
    this.#enter(nowMs);
    this.#used += amount;
    return this.#window;
  }

  adjust(nowMs: number, handle: number, delta: number): void {
    this.#enter(nowMs);
    if (handle === this.#window) this.#used += delta;
  }

  remaining(nowMs: number): number {
    this.#enter(nowMs);
    return this.capacity - this.#used;
  }

  fullAfterMs(nowMs: number): number {
    this.#enter(nowMs);
    return this.#used === 0 ? 0 : this.#msToNextWindow(nowMs);
  }

  #enter(nowMs: number): void {
    const window = Math.floor(nowMs / this.#windowMs);
    if (window <= this.#window) return;
    this.#window = window;
    this.#used = 0;
  }

  #msToNextWindow(nowMs: number): number {
    return (this.#window + 1) * this.#windowMs - nowMs;
  }
}
