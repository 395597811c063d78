import type { JobRoute } from './job.ts';

/** How often a job is looked at that leaves a pool when its breaker opens. */
export const breakerLookMs = 1_000;

/** When a job should be looked at first on account of its route, from its acceptance; undefined: as any other. */
export function firstLookMs({ waitOverMs, timeoutMs, on }: JobRoute): number | undefined {
  const looks = [waitOverMs, timeoutMs, on.includes('breaker_open') ? breakerLookMs : undefined];
  const named = looks.filter((look) => look !== undefined);
  return named.length > 0 ? Math.min(...named) : undefined;
}
