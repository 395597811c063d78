import type { Settings } from '#config/schema.ts';
import type { Random } from '#shared/kernel/random.ts';

type Schedule = Pick<Settings['webhooks'], 'retry_schedule_ms' | 'retry_jitter' | 'retry_after_max_ms'>;

/** What a receiver asks for with Retry-After (seconds or a date), bounded, in milliseconds; 0 when it asks nothing. */
export function askedPatienceMs(retryAfter: string | undefined, nowMs: number, maxMs: number): number {
  if (retryAfter === undefined) return 0;
  const isSeconds = /^\d{1,9}$/.test(retryAfter.trim());
  // An HTTP date begins with the name of its day; Date.parse alone takes nearly anything for one.
  const isDate = /^[A-Za-z]{3}/.test(retryAfter);
  const askedMs = isSeconds ? Number(retryAfter) * 1_000 : isDate ? Date.parse(retryAfter) - nowMs : 0;
  return Number.isFinite(askedMs) ? Math.min(maxMs, Math.max(0, askedMs)) : 0;
}

/** Pause before the attempt after `attempt` (the first is 1), milliseconds; undefined when there is none. */
export function pauseAfter(
  attempt: number,
  patienceMs: number,
  { retry_schedule_ms, retry_jitter }: Schedule,
  random: Random,
): number | undefined {
  const plannedMs = retry_schedule_ms[attempt];
  if (plannedMs === undefined) return undefined;
  return Math.max(Math.ceil(plannedMs * (1 + retry_jitter * random.next())), patienceMs);
}
