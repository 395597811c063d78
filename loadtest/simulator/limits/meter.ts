/**
 * One ceiling's counter. Time is supplied in milliseconds since the epoch (a fraction is allowed), so that every
 * shape can be judged without waiting.
 */
export interface Meter {
  /** What the provider's headers call the limit. */
  readonly limit: number;
  /** The most that one request may cost; anything above can never be admitted. */
  readonly capacity: number;
  /**
   * Milliseconds until `cost` fits: 0 = it fits now, Infinity = it never will, NaN = it will, but nobody can tell
   * when (concurrency).
   */
  waitMs(nowMs: number, cost: number): number;
  /** Charges without asking; the meter may go into debt. The handle names this charge for `adjust`. */
  take(nowMs: number, amount: number): number;
  /** Corrects an earlier charge by `delta`; does nothing if that charge has left the window. */
  adjust(nowMs: number, handle: number, delta: number): void;
  remaining(nowMs: number): number;
  /** Milliseconds until nothing is used any more, which is what providers call "reset". */
  fullAfterMs(nowMs: number): number;
}

/** Sums of fractions drift; a request is not refused for a millionth of a token. */
export const roundingSlack = 1e-6;
