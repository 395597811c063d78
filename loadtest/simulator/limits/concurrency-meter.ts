import type { Meter } from './meter.ts';

/** Calls in progress, from request received to response complete (DeepSeek). */
export class ConcurrencyMeter implements Meter {
  readonly limit: number;
  readonly capacity: number;
  #inUse = 0;

  constructor(options: { amount: number }) {
    this.limit = options.amount;
    this.capacity = options.amount;
  }

  waitMs(_nowMs: number, cost: number): number {
    return this.#inUse + cost <= this.capacity ? 0 : Number.NaN;
  }

  take(_nowMs: number, amount: number): number {
    this.#inUse += amount;
    return 0;
  }

  adjust(_nowMs: number, _handle: number, delta: number): void {
    this.#inUse += delta;
  }

  remaining(): number {
    return this.capacity - this.#inUse;
  }

  fullAfterMs(): number {
    return 0;
  }
}
