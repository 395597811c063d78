import { intersect } from './backlog.ts';
import { type Charge, type JudgedCall, type Span, wasServed } from './judged-call.ts';

/** What a token of input and of output costs in service. */
export interface CostWeights {
  input: number;
  output: number;
}

export const defaultCostWeights: CostWeights = { input: 1, output: 4 };

/** Service of a call: its real usage, counted when it reached the provider. Zero when it was not served. */
export function serviceOf(call: JudgedCall, cost: CostWeights): Charge {
  const amount = wasServed(call) ? cost.input * call.inputTokens + cost.output * call.outputTokens : 0;
  return { atMs: call.atMs, amount };
}

/** Largest |served share / ideal share - 1| of any tenant, the ideal being its part of all weights. */
export function shareErrorMax(service: readonly { weight: number; amount: number }[]): number {
  const served = service.reduce((sum, { amount }) => sum + amount, 0);
  const weights = service.reduce((sum, { weight }) => sum + weight, 0);
  return Math.max(...service.map(({ weight, amount }) => Math.abs(amount / served / (weight / weights) - 1)));
}

/** Jain's index (Jain, Chiu, Hawe 1984): 1 when all are equal, 1/n when one has everything. */
export function jainIndex(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value * value, 0);
  return squares === 0 ? 1 : (sum * sum) / (values.length * squares);
}

/** Gini coefficient: 0 when all are equal, (n - 1) / n when one has everything. */
export function giniCoefficient(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const sum = sorted.reduce((total, value) => total + value, 0);
  if (sum === 0) return 0;
  const ranked = sorted.reduce((total, value, index) => total + (index + 1) * value, 0);
  return (2 * ranked) / (sorted.length * sum) - (sorted.length + 1) / sorted.length;
}

export interface TenantService {
  weight: number;
  /** Service in order of time. */
  charges: readonly Charge[];
  /** When work waited, in order of time. */
  waiting: readonly Span[];
}

/**
 * The gap between two tenants: the largest |W_f(a, b)/w_f - W_g(a, b)/w_g| over **any** interval [a, b) inside a span
 * in which both had work waiting, which is what the theorem of VTC bounds (Sheng et al., OSDI 2024, theorem 4.4). It
 * is the range of the difference of the two running sums, so one pass finds it.
 */
export function gapBetween(f: TenantService, g: TenantService, within: Span): number {
  let gap = 0;
  for (const span of intersect(intersect(f.waiting, g.waiting), [within])) {
    gap = Math.max(gap, rangeOf(differences(f, g, span)));
  }
  return gap;
}

function* differences(f: TenantService, g: TenantService, span: Span): Generator<number> {
  let i = firstFrom(f.charges, span.fromMs);
  let j = firstFrom(g.charges, span.fromMs);
  let difference = 0;
  for (;;) {
    const left = f.charges[i];
    const right = g.charges[j];
    const leftMs = left && left.atMs < span.toMs ? left.atMs : Number.POSITIVE_INFINITY;
    const rightMs = right && right.atMs < span.toMs ? right.atMs : Number.POSITIVE_INFINITY;
    if (leftMs === Number.POSITIVE_INFINITY && rightMs === Number.POSITIVE_INFINITY) return;
    if (leftMs <= rightMs) difference += f.charges[i++]!.amount / f.weight;
    else difference -= g.charges[j++]!.amount / g.weight;
    yield difference;
  }
}

function rangeOf(values: Iterable<number>): number {
  let least = 0;
  let most = 0;
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return most - least;
}

/** Index of the first charge at or after `atMs`. */
function firstFrom(charges: readonly Charge[], atMs: number): number {
  let low = 0;
  let high = charges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (charges[middle]!.atMs < atMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

export interface GapSummary {
  max: number;
  /** Over all pairs. */
  mean: number;
  variance: number;
}

/** The gaps of all pairs of tenants. */
export function summarizeGaps(tenants: readonly TenantService[], within: Span): GapSummary {
  const gaps = tenants.flatMap((f, index) => tenants.slice(index + 1).map((g) => gapBetween(f, g, within)));
  if (gaps.length === 0) return { max: 0, mean: 0, variance: 0 };
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
  return { max: Math.max(...gaps), mean, variance };
}

/**
 * The bound of the gap: 2 * max(w_in * L_in, w_out * M), divided by the smallest weight. L_in is the largest input
 * seen; M the output that a scheduler has not charged yet when it chooses. `in flight` takes for M the most output
 * that one tenant had in flight at once (produced for calls that had arrived and not ended), as the theorem has it;
 * a scheduler that lets one tenant flood the provider widens that bound by itself. `one call` takes the largest
 * output of a single call, which nobody can widen.
 */
export function gapBound(
  calls: readonly JudgedCall[],
  cost: CostWeights,
  weights: readonly number[],
  uncharged: 'in flight' | 'one call',
): number {
  const served = calls.filter(wasServed);
  const largestInput = served.reduce((most, call) => Math.max(most, call.inputTokens), 0);
  let mostOutput = served.reduce((most, call) => Math.max(most, call.outputTokens), 0);
  if (uncharged === 'in flight') {
    const tenants = Map.groupBy(served, (call) => call.tenant).values();
    mostOutput = Math.max(mostOutput, ...Array.from(tenants, mostOutputInFlight));
  }
  return (2 * Math.max(cost.input * largestInput, cost.output * mostOutput)) / Math.min(...weights);
}

function mostOutputInFlight(calls: readonly JudgedCall[]): number {
  const steps = calls.flatMap(({ atMs, finishedMs, outputTokens }) => [
    { atMs, change: outputTokens },
    // A call that was answered at once was in flight all the same.
    { atMs: Math.max(finishedMs ?? Number.POSITIVE_INFINITY, atMs), change: -outputTokens },
  ]);
  steps.sort((a, b) => a.atMs - b.atMs || b.change - a.change);
  let inFlight = 0;
  let most = 0;
  for (const { change } of steps) {
    inFlight += change;
    most = Math.max(most, inFlight);
  }
  return most;
}
