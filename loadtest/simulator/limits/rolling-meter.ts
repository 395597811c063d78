import { type Meter, roundingSlack } from './meter.ts';

const compactAbove = 1024;

/** An exact rolling window: what was charged at `t` counts in [t, t + windowMs). */
export class RollingMeter implements Meter {
  readonly limit: number;
  readonly capacity: number;
  readonly #windowMs: number;
  #times: number[] = [];
  #amounts: number[] = [];
  /** Entries before this index have left the window; `#removed` more were already cut off. */
  #head = 0;
  #removed = 0;
  #used = 0;

  constructor(options: { amount: number; windowMs: number }) {
    this.limit = options.amount;
    this.capacity = options.amount;
    this.#windowMs = options.windowMs;
  }

  waitMs(nowMs: number, cost: number): number {
    if (cost > this.capacity) return Number.POSITIVE_INFINITY;
    this.#expire(nowMs);
    let excess = this.#used + cost - this.capacity;
    if (excess <= roundingSlack) return 0;
    for (let index = this.#head; index < this.#times.length; index++) {
      excess -= this.#amounts[index]!;
      if (excess <= roundingSlack) return this.#times[index]! + this.#windowMs - nowMs;
    }
    return this.#windowMs;
  }

  take(nowMs: number, amount: number): number {
    this.#expire(nowMs);
    this.#times.push(nowMs);
    this.#amounts.push(amount);
    this.#used += amount;
    return this.#removed + this.#times.length - 1;
  }

  adjust(nowMs: number, handle: number, delta: number): void {
    this.#expire(nowMs);
    const index = handle - this.#removed;
    if (index < this.#head) return;
    this.#amounts[index]! += delta;
    this.#used += delta;
  }

  remaining(nowMs: number): number {
    this.#expire(nowMs);
    return this.capacity - this.#used;
  }

  fullAfterMs(nowMs: number): number {
    this.#expire(nowMs);
    const newest = this.#times.at(-1);
    return newest === undefined || this.#head === this.#times.length ? 0 : newest + this.#windowMs - nowMs;
  }

  #expire(nowMs: number): void {
    const goneMs = nowMs - this.#windowMs;
    while (this.#head < this.#times.length && this.#times[this.#head]! <= goneMs) {
      this.#used -= this.#amounts[this.#head]!;
      this.#head++;
    }
    if (this.#head === this.#times.length) this.#used = 0;
    if (this.#head > compactAbove && this.#head * 2 > this.#times.length) this.#compact();
  }

  #compact(): void {
    this.#times = this.#times.slice(this.#head);
    this.#amounts = this.#amounts.slice(this.#head);
    this.#removed += this.#head;
    this.#head = 0;
  }
}
