import { hash } from 'node:crypto';
import type { Settings } from '#config/schema.ts';

type Quotas = Pick<Settings['customers'][string], 'limits' | 'budgets'>;
type LimitSettings = Quotas['limits'][number];
type BudgetSettings = Quotas['budgets'][number];
type Axis = LimitSettings['per'][number];

const limitDimensions = ['requests', 'tokens', 'input_tokens', 'output_tokens', 'concurrency'] as const;

/**
 * How a counter counts. `slots`: a sliding window; `calendar`: a window that begins anew with the calendar; `bucket`: what
 * leaks evenly, with a burst; `even`: without one; `open`: what has not ended.
 */
export type Counting = 'slots' | 'calendar' | 'bucket' | 'even' | 'open';

/** What a counter counts; money in billionths of a US dollar. */
export type Dimension = (typeof limitDimensions)[number] | 'nano_usd';

/** What becomes of a call that does not fit: refused, kept waiting, or made with another model. */
export type WhenFull = 'reject' | 'queue' | 'reroute';

/** One limit of the configuration, ready to be applied to calls. */
export interface PreparedLimit {
  /** Names what is counted, whatever the amount: a changed amount goes on with what was counted. */
  id: string;
  /** Whose limit it is, and by what its calls are told apart, such as `key` or `customer+user`. */
  axis: string;
  per: readonly Axis[];
  /** Whether its counters are named by callers, so that their number must be bounded. */
  spread: boolean;
  match: readonly (readonly [Axis, (value: string) => boolean])[];
  dimension: Dimension;
  counting: Counting;
  limit: number;
  /** The most that may be used at once: the limit, or the burst of a bucket. */
  capacity: number;
  windowMs: number;
  /** Length of a slot, burst of a bucket, or unit of the calendar. */
  detail: number | string;
  full: WhenFull;
  /** Model to fall back on when `full` is `reroute`. */
  model: string | undefined;
  /** What becomes of calls whose price is not known. */
  unpriced: 'refuse' | 'free';
}

/** Whose limits they are. */
export interface LimitHolder {
  tier: 'customer' | 'team' | 'key';
  id: string;
}

const unitMs: Record<string, number> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  M: 30 * 86_400_000,
  Y: 365 * 86_400_000,
};
const nanoPerUsd = 1_000_000_000;
const defaultWindow = '1m';
/** Parts of a window that are forgotten one by one; it is longer than it should be by at most one of them. */
export const slotsPerWindow = 60;
/** Axes whose values callers choose. */
const chosenByCallers: readonly Axis[] = ['user', 'feature', 'model'];

const windowMsOf = (window: string) => Number(window.slice(0, -1)) * unitMs[window.at(-1)!]!;

function countingOf({ concurrency, calendar, algorithm }: LimitSettings): Counting {
  if (concurrency !== undefined) return 'open';
  if (calendar) return 'calendar';
  if (algorithm === 'sliding_window') return 'slots';
  return algorithm === 'token_bucket' ? 'bucket' : 'even';
}

function detailOf(counting: Counting, window: string, burst: number): number | string {
  if (counting === 'calendar') return window.at(-1)!;
  return counting === 'bucket' ? burst : Math.ceil(windowMsOf(window) / slotsPerWindow);
}

function matches(pattern: string, value: string): boolean {
  return pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : value === pattern;
}

function matchOf(match: LimitSettings['match']): PreparedLimit['match'] {
  const { key, team, user, feature, provider, model, route } = match;
  const given = { key, team, user, feature, provider, model, route };
  return Object.entries(given).flatMap(([axis, pattern]) => {
    if (pattern === undefined) return [];
    const patterns = [pattern].flat();
    return [[axis as Axis, (value: string) => patterns.some((each) => matches(each, value))] as const];
  });
}

function prepare(
  holder: LimitHolder,
  settings: Pick<LimitSettings, 'per' | 'match'>,
  counts: Pick<PreparedLimit, 'dimension' | 'counting' | 'limit' | 'full' | 'model' | 'unpriced'>,
  window: string,
  burst: number,
): PreparedLimit {
  const { per, match } = settings;
  const { dimension, counting } = counts;
  const subject = JSON.stringify([holder.tier, holder.id, dimension, counting, window, per, match]);
  return {
    ...counts,
    id: hash('sha256', subject, 'base64url').slice(0, 12),
    axis: [holder.tier, ...per].join('+'),
    per,
    spread: per.some((axis) => chosenByCallers.includes(axis)),
    match: matchOf(match),
    capacity: counting === 'bucket' ? burst : counts.limit,
    windowMs: windowMsOf(window),
    detail: detailOf(counting, window, burst),
  };
}

function prepareLimit(holder: LimitHolder, settings: LimitSettings): PreparedLimit {
  const dimension = limitDimensions.find((each) => settings[each] !== undefined)!;
  const limit = settings[dimension]!;
  const { burst = limit, window = defaultWindow, on_full: full } = settings;
  const counts = { dimension, limit, full, model: undefined, unpriced: 'free' } as const;
  return prepare(holder, settings, { ...counts, counting: countingOf(settings) }, window, burst);
}

function prepareBudget(holder: LimitHolder, settings: BudgetSettings): PreparedLimit {
  const { usd, reset, calendar, on_exhausted: exhausted, unpriced } = settings;
  const limit = Math.round(usd * nanoPerUsd);
  const reroutes = typeof exhausted === 'object';
  const counts = {
    dimension: 'nano_usd',
    counting: calendar ? 'calendar' : 'slots',
    limit,
    full: reroutes ? 'reroute' : exhausted,
    model: reroutes ? exhausted.model : undefined,
    unpriced,
  } as const;
  return prepare(holder, settings, counts, reset, limit);
}

const prepared = new WeakMap<Quotas, readonly PreparedLimit[]>();

/** The limits of one customer, team or key. Prepared once for each object of the configuration. */
export function prepareLimits(holder: LimitHolder, quotas: Quotas): readonly PreparedLimit[] {
  const known = prepared.get(quotas);
  if (known) return known;
  const limits = [
    ...quotas.limits.map((each) => prepareLimit(holder, each)),
    ...quotas.budgets.map((each) => prepareBudget(holder, each)),
  ];
  prepared.set(quotas, limits);
  return limits;
}
