import type { DrainMeasures } from '../judge/judge-drain.ts';
import type { EventName } from './drain-events.ts';

type Holds = Record<string, boolean>;

/** Shares are compared over three windows; so much of a share may be a few calls in either direction. */
const shareErrorMost = 0.02;
const leasesLeast = 200;
const adoptMsMost = 60_000;
const reloadMsMost = 2_000;
/** Refusals by which a key that somebody else uses too may be found out, and what may follow in later windows. */
const convergingMost = 0.5;
const fewRefusals = 5;

const isAtMost = (value: unknown, most: number) => typeof value === 'number' && value <= most;
const isAtLeast = (value: unknown, least: number) => typeof value === 'number' && value >= least;

/** What each scenario must hold, and whether it did. */
export function whatHolds(name: EventName, measures: DrainMeasures, extra: Record<string, unknown>): Holds {
  return {
    shares: isAtMost(measures.shareErrorMax, shareErrorMost),
    gap: measures.gapMax <= measures.gapBound,
    ceilings: measures.overshoot <= 0,
    noQuota429: name === 'shared-key' ? converges(measures.quota429PerWindow) : measures.quota429 === 0,
    nothingLost: extra.lost === 0,
    ...ofItsOwn[name]?.(extra),
  };
}

/** What a scenario holds beside what all do. */
const ofItsOwn: Partial<Record<EventName, (extra: Record<string, unknown>) => Holds>> = {
  'worker-kill': (extra) => ({ enoughLeases: isAtLeast(extra.leasesCutOff, leasesLeast) }),
  'credential-added': (extra) => ({ newOneUsed: isAtMost(extra.firstUseOfNewMs, reloadMsMost) }),
  'credential-removed': (extra) => ({ removedOneUnused: extra.callsOnRemoved === 0 }),
  'retry-after-storm': (extra) => ({ nothingEarly: extra.earlyArrivals === 0 }),
  'tier-change': (extra) => ({ adopted: isAtMost(extra.adoptedAfterMs, adoptMsMost) }),
};

/** Whether refusals become fewer: the second half of the run has at most half of those of the first. */
function converges(perWindow: readonly number[]): boolean {
  const half = Math.ceil(perWindow.length / 2);
  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
  return sum(perWindow.slice(half)) <= Math.max(fewRefusals, convergingMost * sum(perWindow.slice(0, half)));
}
