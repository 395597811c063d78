import type { Meter } from './meter.ts';

const stepsPerWindow = 600;

/**
 * Uses up a share of a meter as if somebody else held the same key: evenly over time, in steps of 1/600 window,
 * each skipped when it no longer fits (that other party is refused too). Steps are caught up when the meter is
 * next asked, at most one window of them.
 */
export class ForeignUse {
  readonly #meter: Meter;
  readonly #stepMs: number;
  readonly #perStep: number;
  #nextStepMs = Number.NEGATIVE_INFINITY;

  /** `windowMs` is the time in which the meter's whole capacity comes back. */
  constructor(meter: Meter, options: { windowMs: number; share: number }) {
    this.#meter = meter;
    this.#stepMs = options.windowMs / stepsPerWindow;
    this.#perStep = (meter.capacity * options.share) / stepsPerWindow;
  }

  catchUp(nowMs: number): void {
    if (nowMs < this.#nextStepMs) return;
    const oldestMs = nowMs - stepsPerWindow * this.#stepMs;
    let stepMs = Math.max(this.#nextStepMs, oldestMs);
    for (; stepMs <= nowMs; stepMs += this.#stepMs) {
      if (this.#meter.waitMs(stepMs, this.#perStep) === 0) this.#meter.take(stepMs, this.#perStep);
    }
    this.#nextStepMs = stepMs;
  }
}
