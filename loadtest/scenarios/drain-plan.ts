import { type Endpoint, type MeanCall, type Mix, meanCall, mixes } from './workload.ts';

export const shapes = ['refill', 'fixed', 'slices', 'rolling'] as const;
type Shape = (typeof shapes)[number];
export const dimensions = ['rpm', 'tpm', 'itpm-otpm'] as const;
type Dimension = (typeof dimensions)[number];

export { mixes };

export interface PlannedTenant {
  name: string;
  key: string;
  weight: number;
}

export interface PlannedCredential {
  id: string;
  key: string;
}

/** Everything that decides a run; two runs of the same plan make the same calls. */
export interface DrainPlan {
  shape: Shape;
  dimension: Dimension;
  workers: number;
  tenants: PlannedTenant[];
  credentials: PlannedCredential[];
  seconds: number;
  windowSeconds: number;
  /** Ceiling of the first dimension for one window. */
  amount: number;
  /** `itpm-otpm` only: the output ceiling. */
  outputAmount: number;
  sliceMs: number;
  seed: number;
  mix: Mix;
  endpoint: Endpoint;
  latencyMs: number;
  /** Calls that one worker process has open at once. */
  concurrency: number;
  /** The part of every ceiling that somebody else uses. */
  sharedUse: number;
  /** Whether the product is told the ceilings. */
  ceilings: boolean;
  /** Whether the product may follow the limits that the provider names. */
  auto: boolean;
  /** Calls per second that fit under the ceiling on average. */
  expectedRate: number;
}

export interface PlanFlags {
  shape: Shape;
  dimension: Dimension;
  workers: number;
  tenants: number;
  seconds: number | undefined;
  windowSeconds: number;
  amount: number | undefined;
  sliceMs: number | undefined;
  seed: number;
  mix: Mix;
  latencyMs: number;
  concurrency: number;
  ceilings: boolean;
}

const weights = [1, 2, 4];
/** Calls per second a ceiling allows when `--amount` does not say. */
const defaultRate: Record<Mix, number> = { small: 150, mixed: 15, 'huge-max-tokens': 150 };
/** The output ceiling is a little wider than the calls need, so that one of the two clearly binds. */
const outputSlack = 1.1;
/** The first window does not count, and shares are compared over three. */
const windowsPerPhase = 4.5;

/** What one call counts in the (first) dimension, on average. */
export function meanCountedCost(dimension: Dimension, mean: MeanCall): number {
  if (dimension === 'rpm') return 1;
  return dimension === 'tpm' ? mean.inputTokens + mean.maxTokens : mean.inputTokens;
}

export function plannedTenants(count: number): PlannedTenant[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `tenant-${String(index).padStart(2, '0')}`,
    key: `sk-sl-load-${index}`,
    weight: weights[index % weights.length]!,
  }));
}

export const plannedCredential = (index: number): PlannedCredential => ({
  id: `key-${index}`,
  key: `sk-sim-${String(index).padStart(6, '0')}`,
});

/** The name the arrival log knows a credential by. */
export const loggedAs = (credential: PlannedCredential) => credential.key.slice(-6);

/** Fills in what the flags leave open; a run of several phases takes as many times as long. */
export function planDrain(flags: PlanFlags, phases = 1): DrainPlan {
  const { dimension, windowSeconds, mix } = flags;
  const mean = meanCall(mix);
  const cost = meanCountedCost(dimension, mean);
  // Short slices fit requests; a slice must hold the largest prompt.
  const sliceMs = flags.sliceMs ?? (dimension === 'rpm' ? 1_000 : windowSeconds * 200);
  const slices = (windowSeconds * 1_000) / sliceMs;
  if (!Number.isInteger(slices))
    throw new RangeError('A window must be a whole number of slices (--slice-ms).');
  // A multiple of the slices, so that the sum of all slices is the ceiling itself.
  const wholeSlices = (amount: number) => Math.max(1, Math.round(amount / slices)) * slices;
  const wanted = flags.amount ?? defaultRate[mix] * windowSeconds * cost;
  const amount = wholeSlices(wanted);
  const expectedRate = amount / cost / windowSeconds;
  return {
    ...flags,
    sliceMs,
    amount,
    outputAmount: wholeSlices(expectedRate * windowSeconds * mean.outputTokens * outputSlack),
    expectedRate,
    seconds: flags.seconds ?? Math.ceil(phases * windowsPerPhase * windowSeconds),
    tenants: plannedTenants(flags.tenants),
    credentials: [plannedCredential(1)],
    endpoint: dimension === 'itpm-otpm' ? '/v1/messages' : '/v1/chat/completions',
    sharedUse: 0,
    auto: false,
  };
}

/** Jobs each tenant needs so that it still has work at the end if it gets its share, with a margin. */
export function backlogOf(plan: DrainPlan, tenant: PlannedTenant): number {
  const margin = 1.4;
  const least = 50;
  const weightSum = plan.tenants.reduce((sum, { weight }) => sum + weight, 0);
  // A bucket that starts full gives a second window's worth at the beginning.
  const servedSeconds = plan.seconds + plan.windowSeconds;
  const rate = plan.expectedRate * plan.credentials.length;
  return Math.ceil((rate * servedSeconds * margin * tenant.weight) / weightSum) + least;
}
