import type { Visit } from './measure.ts';
import { median } from './percentile.ts';

/** How far two visits to the same processes in the same round differ: what the bench cannot tell apart. */
export interface Spread {
  pair: string;
  latencyMs: number;
  concurrency: number;
  /** Second visit over first, calls per second: median, least and greatest of the rounds. */
  callsRatio: { median: number; least: number; greatest: number };
  /** Differences of the medians seen by the caller, greatest of the rounds, milliseconds. */
  latencyMsP50Apart: number;
}

/** Beyond this the machine was too busy for differences between targets to mean much. */
const quietSpread = 0.15;

/** Whether a pair that ought to be equal was not, in any round. */
export function isNoisy(spread: readonly Spread[]): boolean {
  return spread.some(
    ({ callsRatio }) => callsRatio.least < 1 - quietSpread || callsRatio.greatest > 1 + quietSpread,
  );
}

export function spreadOf(visits: readonly Visit[]): Spread[] {
  const again = visits.filter(({ target }) => target.endsWith('-again'));
  const pairs = again.flatMap((second) => {
    const first = visits.find((visit) => isFirstOf(visit, second));
    return first && first.calls > 0 ? [{ first, second }] : [];
  });
  const groups = Map.groupBy(pairs, ({ first }) => `${first.latencyMs} ${first.concurrency} ${first.target}`);
  return [...groups.values()].map((rounds) => {
    const { target, latencyMs, concurrency } = rounds[0]!.first;
    const ratios = rounds.map(
      ({ first, second }) => second.calls / second.seconds / (first.calls / first.seconds),
    );
    const apart = rounds.map(({ first, second }) => Math.abs(second.latencyMsP50 - first.latencyMsP50));
    return {
      pair: target,
      latencyMs,
      concurrency,
      callsRatio: { median: median(ratios), least: Math.min(...ratios), greatest: Math.max(...ratios) },
      latencyMsP50Apart: Math.max(...apart),
    };
  });
}

function isFirstOf(visit: Visit, second: Visit): boolean {
  return (
    `${visit.target}-again` === second.target &&
    visit.round === second.round &&
    visit.latencyMs === second.latencyMs &&
    visit.concurrency === second.concurrency
  );
}
