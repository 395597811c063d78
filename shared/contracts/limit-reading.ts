/** What one answer of a provider says about one of its limits. */
export interface LimitReading {
  dimension: 'requests' | 'tokens' | 'input_tokens' | 'output_tokens';
  /** Length of the limit's window, milliseconds. */
  windowMs: number;
  limit: number;
  /** What the provider counts as used by now, by whomever. */
  used: number;
  /** Until the limit is untouched again; undefined when it does not say. */
  resetMs: number | undefined;
  /** How much later than true `resetMs` may be, because it is rounded. */
  resetGrainMs: number;
  /** How far off `used` may be, because it is rounded. */
  grain: number;
  /** The counter is known to be cleared at the full minute of the wall clock. */
  wallClock: boolean;
}
