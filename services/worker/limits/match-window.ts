import type { LimitReading } from '#shared/contracts/limit-reading.ts';
import type { NamedLimit } from './read-limits.ts';

const dayMs = 86_400_000;
/** A full bucket that is refilled over a window resets after `used / limit` of it: so used and reset tell the window. */
const impliedWindowMs = ({ limit, used, resetMs }: NamedLimit) =>
  used > 0 && resetMs !== undefined ? (resetMs * limit) / used : undefined;
/** `used` is a whole number, so that of the first request may be nearly twice what it is. */
const leastShare = 0.4;
const mostShare = 1.5;
const knownMax = 64;

/**
 * Finds the window of limits whose headers do not name it: OpenAI's `limit-requests` may be of the minute or of the day,
 * Groq's is of the day. A limit once seen to be of the minute stays so.
 */
export class WindowMatcher {
  readonly #minuteMs: number;
  readonly #ofMinute = new Set<string>();

  /** `minuteMs`: the window of the pool's ceilings by the minute. */
  constructor(minuteMs: number) {
    this.#minuteMs = minuteMs;
  }

  /** The reading with its window; undefined when it is of no window that ceilings have, or nothing tells which. */
  match({ window, ...limit }: NamedLimit): LimitReading | undefined {
    const windowMs = this.#windowOf({ window, ...limit });
    return windowMs === undefined ? undefined : { ...limit, windowMs };
  }

  #windowOf(limit: NamedLimit): number | undefined {
    if (limit.window !== undefined)
      return limit.window === 'minute' ? this.#minuteMs : limit.window === 'day' ? dayMs : undefined;
    const name = `${limit.dimension} ${limit.limit}`;
    const impliedMs = impliedWindowMs(limit);
    if (impliedMs !== undefined && impliedMs <= this.#minuteMs * mostShare) {
      if (this.#ofMinute.size >= knownMax) this.#ofMinute.clear();
      this.#ofMinute.add(name);
    }
    if (this.#ofMinute.has(name)) return this.#minuteMs;
    const isDaily =
      impliedMs !== undefined && impliedMs >= dayMs * leastShare && impliedMs <= dayMs * mostShare;
    return isDaily ? dayMs : undefined;
  }
}
