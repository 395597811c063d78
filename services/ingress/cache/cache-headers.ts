import type { CacheStatus } from '#shared/contracts/cache.ts';

/** What the cache had to do with an answer, as its headers say it. */
export interface CacheAnswer {
  status: CacheStatus;
  /** How old an answer from the cache is. */
  ageSeconds?: number | undefined;
}

/** Headers of an answer; none when nobody spoke of the cache. */
export function cacheHeaders(cache: CacheAnswer | undefined): Record<string, string> {
  if (!cache) return {};
  const { status, ageSeconds } = cache;
  return {
    'x-sluice-cache-status': status,
    // RFC 9111: seconds since the answer was made.
    ...(ageSeconds === undefined ? {} : { age: String(ageSeconds) }),
  };
}
