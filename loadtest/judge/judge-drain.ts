import { longestCommon, waitingSpans } from './backlog.ts';
import {
  type CeilingUse,
  type JudgedCeiling,
  type JudgedPhase,
  judgeCeiling,
  sumWithin,
} from './ceilings.ts';
import {
  type CostWeights,
  gapBound,
  giniCoefficient,
  jainIndex,
  serviceOf,
  shareErrorMax,
  summarizeGaps,
  type TenantService,
} from './fairness.ts';
import { type JudgedCall, type Span, wasServed } from './judged-call.ts';
import { servedAtMs } from './waits.ts';

/** Windows over which shares are compared. */
const shareWindows = 3;

/** A part of a run in which weights, tenants, credentials and limits stayed the same. */
export interface Phase extends JudgedPhase {
  /** Weight of every tenant that is to be compared. */
  weights: ReadonlyMap<string, number>;
}

export interface DrainRecord {
  calls: readonly JudgedCall[];
  /** When each job was accepted, milliseconds since the epoch. */
  acceptedMs: ReadonlyMap<string, { tenant: string; atMs: number }>;
  phases: readonly Phase[];
  ceilings: readonly JudgedCeiling[];
  windowMs: number;
  /** Whether the provider's windows are those of the wall clock. */
  aligned: boolean;
  cost: CostWeights;
}

export interface DrainMeasures {
  /** Of the ceiling that was used most; null when no whole window after the first was seen. */
  ceilingUsed: number | null;
  quota429: number;
  /** The same for one window after the other, to see whether they become fewer. */
  quota429PerWindow: number[];
  overshoot: number;
  /** Null when there was no time in which all tenants had work waiting. */
  shareErrorMax: number | null;
  jain: number | null;
  gini: number | null;
  gapMax: number;
  gapBound: number;
  /** The bound for a scheduler that never lets a tenant have more than one call uncharged. */
  gapBoundOneCall: number;
  gapMean: number;
  gapVariance: number;
  callsPerSecond: number;
  calls: number;
  /** Windows in which shares were compared; fewer than 3 means that somebody's backlog ended early. */
  shareWindows: number;
  perCeiling: CeilingUse[];
}

interface PhaseFairness {
  windows: number;
  shareError: number | null;
  jain: number | null;
  gini: number | null;
  gap: { max: number; mean: number; variance: number };
}

/** Every measure of a drain, from the arrival log alone. Where there are several phases the worst one counts. */
export function judgeDrain(record: DrainRecord): DrainMeasures {
  const { phases, calls } = record;
  const first = phases[0]!.span.fromMs;
  const last = phases.at(-1)!.span.toMs;
  const seen = calls.filter(({ atMs }) => atMs >= first && atMs < last);
  const ceilings = record.ceilings.map((ceiling) => judgeCeiling(ceiling, { ...record, calls: seen }));
  const fairness = phases.map((phase) => judgePhase(record, phase));
  const served = seen.filter(wasServed).length;
  const worstGap = fairness.reduce((worst, { gap }) => (gap.max > worst.max ? gap : worst), fairness[0]!.gap);
  const weights = phases.flatMap((phase) => [...phase.weights.values()]);
  return {
    ceilingUsed: most(ceilings.map(({ used }) => used)),
    quota429: seen.filter(({ refused }) => refused).length,
    quota429PerWindow: refusalsPerWindow(seen, { fromMs: first, toMs: last }, record.windowMs),
    overshoot: Math.max(...ceilings.map(({ overshoot }) => overshoot)),
    shareErrorMax: most(fairness.map(({ shareError }) => shareError)),
    jain: least(fairness.map(({ jain }) => jain)),
    gini: most(fairness.map(({ gini }) => gini)),
    gapMax: worstGap.max,
    gapBound: gapBound(seen, record.cost, weights, 'in flight'),
    gapBoundOneCall: gapBound(seen, record.cost, weights, 'one call'),
    gapMean: worstGap.mean,
    gapVariance: worstGap.variance,
    callsPerSecond: (served / (last - first)) * 1_000,
    calls: served,
    shareWindows: least(fairness.map(({ windows }) => windows)) ?? 0,
    perCeiling: ceilings,
  };
}

function refusalsPerWindow(calls: readonly JudgedCall[], span: Span, windowMs: number): number[] {
  const counts = Array.from({ length: Math.ceil((span.toMs - span.fromMs) / windowMs) }, () => 0);
  for (const { atMs, refused } of calls) if (refused) counts[Math.floor((atMs - span.fromMs) / windowMs)]!++;
  return counts;
}

function judgePhase(record: DrainRecord, phase: Phase): PhaseFairness {
  const tenants = tenantServices(record, phase);
  const gap = summarizeGaps(tenants, phase.span);
  const common = longestCommon([...tenants.map(({ waiting }) => waiting), [phase.span]]);
  const none = { windows: 0, shareError: null, jain: null, gini: null, gap };
  if (!common) return none;
  // The latest whole windows, so that the start of the run counts only when there is nothing else.
  const windows = Math.min(shareWindows, (common.toMs - common.fromMs) / record.windowMs);
  const span = { fromMs: common.toMs - windows * record.windowMs, toMs: common.toMs };
  const service = tenants.map(({ weight, charges }) => ({ weight, amount: sumWithin(charges, span) }));
  const perWeight = service.map(({ weight, amount }) => amount / weight);
  if (perWeight.every((amount) => amount === 0)) return none;
  return {
    windows,
    shareError: shareErrorMax(service),
    jain: jainIndex(perWeight),
    gini: giniCoefficient(perWeight),
    gap,
  };
}

/** Service and backlog of every tenant of a phase. */
export function tenantServices(record: DrainRecord, phase: Phase): (TenantService & { name: string })[] {
  const servedMs = servedAtMs(record.calls);
  const callsOf = Map.groupBy(record.calls, (call) => call.tenant);
  const jobsOf = Map.groupBy(record.acceptedMs, ([, job]) => job.tenant);
  const endMs = record.phases.at(-1)!.span.toMs;
  return [...phase.weights].map(([name, weight]) => {
    const waits = (jobsOf.get(name) ?? []).map(([job, { atMs }]) => ({
      fromMs: atMs,
      toMs: servedMs.get(job),
    }));
    const charges = (callsOf.get(name) ?? []).map((call) => serviceOf(call, record.cost));
    charges.sort((a, b) => a.atMs - b.atMs);
    return { name, weight, charges, waiting: waitingSpans(waits, endMs) };
  });
}

const known = (values: readonly (number | null)[]) => values.filter((value) => value !== null);
const most = (values: readonly (number | null)[]) =>
  known(values).length === 0 ? null : Math.max(...known(values));
const least = (values: readonly (number | null)[]) =>
  known(values).length === 0 ? null : Math.min(...known(values));
