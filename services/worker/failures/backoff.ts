import type { Random } from '#shared/kernel/random.ts';

/**
 * Exponential backoff with full jitter: uniform in [0, base × 2^(attempt − 1)], at most `maxMs`
 * (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
 */
export function backoffMs(attempt: number, baseMs: number, maxMs: number, random: Random): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.ceil(random.next() * ceiling);
}
