import { type Meter, roundingSlack } from './meter.ts';

/**
 * Continuous refill (token bucket), as measured at OpenAI and Groq and documented by Anthropic:
 * wait = (used + requested - limit) / limit * window. A `burstFraction` below 1 is the "quantized" variant, where
 * 60,000 a minute are enforced as 1,000 a second.
 */
export class RefillMeter implements Meter {
  readonly limit: number;
  readonly capacity: number;
  readonly #perMs: number;
  #available: number;
  #asOfMs = Number.NEGATIVE_INFINITY;

  constructor(options: { amount: number; windowMs: number; burstFraction: number }) {
    this.limit = options.amount;
    this.capacity = options.amount * options.burstFraction;
    this.#perMs = options.amount / options.windowMs;
    this.#available = this.capacity;
  }

  waitMs(nowMs: number, cost: number): number {
    if (cost > this.capacity) return Number.POSITIVE_INFINITY;
    this.#refill(nowMs);
    const missing = cost - this.#available;
    return missing <= roundingSlack ? 0 : missing / this.#perMs;
  }

  take(nowMs: number, amount: number): number {
    this.#refill(nowMs);
    this.#available -= amount;
    return 0;
  }

  adjust(nowMs: number, _handle: number, delta: number): void {
    this.#refill(nowMs);
    this.#available = Math.min(this.capacity, this.#available - delta);
  }

  remaining(nowMs: number): number {
    this.#refill(nowMs);
    return this.#available;
  }

  fullAfterMs(nowMs: number): number {
    this.#refill(nowMs);
    return (this.capacity - this.#available) / this.#perMs;
  }

  #refill(nowMs: number): void {
    if (nowMs <= this.#asOfMs) return;
    const gained = (nowMs - this.#asOfMs) * this.#perMs;
    this.#available = Math.min(this.capacity, this.#available + gained);
    this.#asOfMs = nowMs;
  }
}
