import { type JudgedCall, wasServed } from './judged-call.ts';

/** Nearest-rank percentile (0 to 100); null of nothing. */
export function percentile(values: readonly number[], rank: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const index = Math.ceil((rank / 100) * sorted.length) - 1;
  return sorted[Math.max(0, index)] ?? null;
}

/**
 * Requests that were sent before a Retry-After had passed, per credential: those that arrived later than `graceMs`
 * after the refusal was sent (what was on its way by then could not know) and before the time it named.
 */
export function earlyArrivals(calls: readonly JudgedCall[], retryAfterMs: number, graceMs: number): number {
  let early = 0;
  for (const own of Map.groupBy(calls, (call) => call.credential).values()) {
    const refusals = own
      .filter((call) => call.fault?.includes('retryAfter') && call.finishedMs !== null)
      .map((call) => call.finishedMs!)
      .toSorted((a, b) => a - b);
    early += own.filter(({ atMs }) =>
      refusals.some((sentMs) => atMs > sentMs + graceMs && atMs < sentMs + retryAfterMs),
    ).length;
  }
  return early;
}

/** When the provider first did the work of each job; jobs it never served are missing. */
export function servedAtMs(calls: readonly JudgedCall[]): Map<string, number> {
  const served = new Map<string, number>();
  for (const call of calls) {
    const earlier = served.get(call.job) ?? Number.POSITIVE_INFINITY;
    if (wasServed(call) && call.atMs < earlier) served.set(call.job, call.atMs);
  }
  return served;
}
