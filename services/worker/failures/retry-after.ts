import { googleDetails, googleQuotas, untilPacificMidnightMs } from './google-quotas.ts';

const unitMs: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** A Go duration such as `1m2.7s` or `20ms`, in milliseconds, rounded up; undefined when it is none. */
export function parseGoDuration(duration: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|h|m|s))+$/.test(duration)) return undefined;
  let total = 0;
  for (const [, amount, unit] of duration.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g))
    total += Number(amount) * unitMs[unit!]!;
  return Math.ceil(total);
}

function fromHeader(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+(\.\d+)?$/.test(value.trim())) return Math.ceil(Number(value) * 1_000);
  // An HTTP date begins with the name of its day; Date.parse alone takes "-1" for a year.
  const dateMs = /^[A-Za-z]{3}/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}

/** `RetryInfo.retryDelay` of a Google error. A quota of the day goes before it: the delay is that of the shortest one named. */
function googleHint(body: Record<string, unknown> | undefined, nowMs: number): number | undefined {
  if (googleQuotas(body).some((id) => id.includes('PerDay'))) return untilPacificMidnightMs(nowMs);
  const delay = googleDetails(body)
    .map(({ retryDelay }) => retryDelay)
    .find((value) => typeof value === 'string');
  return delay === undefined ? undefined : parseGoDuration(delay as string);
}

const minuteMs = 60_000;

/** Mistral says nothing; its counters are cleared at the full minute. */
function mistralHint(body: Record<string, unknown> | undefined, nowMs: number): number | undefined {
  return String(body?.code) === '1300' ? minuteMs - (nowMs % minuteMs) : undefined;
}

/** OpenRouter names the end of its window in the body, in milliseconds since 1970. */
function openrouterHint(body: Record<string, unknown> | undefined, nowMs: number): number | undefined {
  const metadata = (body?.error as { metadata?: { headers?: Record<string, unknown> } } | undefined)
    ?.metadata;
  const reset = metadata?.headers?.['X-RateLimit-Reset'];
  return typeof reset === 'string' && /^\d{13}$/.test(reset) ? Math.max(0, Number(reset) - nowMs) : undefined;
}

function messageHint(message: string): number | undefined {
  const [, goDuration] = /try again in ((?:\d+(?:\.\d+)?(?:ms|h|m|s))+)/i.exec(message) ?? [];
  if (goDuration) return parseGoDuration(goDuration);
  const [, seconds] = /retry after (\d+) seconds?/i.exec(message) ?? [];
  return seconds ? Number(seconds) * 1_000 : undefined;
}

/**
 * When a provider wants to be asked again, in milliseconds from now. Order of trust: `retry-after-ms`, `retry-after`
 * (seconds or a date), a hint in the body, nothing.
 */
export function retryAfterMs(
  headers: Record<string, string>,
  body: Record<string, unknown> | undefined,
  message: string,
  nowMs: number,
): number | undefined {
  const exact = headers['retry-after-ms'];
  if (exact !== undefined && /^\d+(\.\d+)?$/.test(exact.trim())) return Math.ceil(Number(exact));
  return (
    fromHeader(headers['retry-after'], nowMs) ??
    googleHint(body, nowMs) ??
    openrouterHint(body, nowMs) ??
    messageHint(message) ??
    mistralHint(body, nowMs)
  );
}
