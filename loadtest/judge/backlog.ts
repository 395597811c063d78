import type { Span } from './judged-call.ts';

/**
 * When a tenant had work waiting: spans in which more jobs had been accepted than had reached the provider.
 * A job that never reached it waits until `endMs`.
 *
 * @param waits for each job when it was accepted, and when the provider first served it (undefined: never)
 */
export function waitingSpans(
  waits: readonly { fromMs: number; toMs: number | undefined }[],
  endMs: number,
): Span[] {
  const steps: { atMs: number; change: number }[] = [];
  for (const { fromMs, toMs } of waits) {
    steps.push({ atMs: fromMs, change: 1 });
    // A job may reach the provider before the answer to its submission is read.
    steps.push({ atMs: Math.max(fromMs, toMs ?? endMs), change: -1 });
  }
  // At the same moment an arrival comes before a departure, so that a backlog is not cut where one follows another.
  steps.sort((a, b) => a.atMs - b.atMs || b.change - a.change);
  const spans: Span[] = [];
  let waiting = 0;
  let fromMs = 0;
  for (const { atMs, change } of steps) {
    if (waiting === 0 && change > 0) fromMs = atMs;
    waiting += change;
    if (waiting === 0 && atMs > fromMs) spans.push({ fromMs, toMs: atMs });
  }
  return spans;
}

/** What two ascending lists of spans have in common. */
export function intersect(left: readonly Span[], right: readonly Span[]): Span[] {
  const common: Span[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    const fromMs = Math.max(left[i]!.fromMs, right[j]!.fromMs);
    const toMs = Math.min(left[i]!.toMs, right[j]!.toMs);
    if (toMs > fromMs) common.push({ fromMs, toMs });
    if (left[i]!.toMs < right[j]!.toMs) i++;
    else j++;
  }
  return common;
}

/** The longest span in which every list has one, or undefined. */
export function longestCommon(lists: readonly (readonly Span[])[]): Span | undefined {
  const [first, ...others] = lists;
  const common = others.reduce<readonly Span[]>(intersect, first ?? []);
  return common.toSorted((a, b) => b.toMs - b.fromMs - (a.toMs - a.fromMs))[0];
}
