import { z } from 'zod';

const amount = z.number().int().positive();
const milliseconds = z.number().int().nonnegative();

const ceilingSchema = z
  .strictObject({
    /** What is counted. */
    dimension: z.enum(['requests', 'tokens', 'input_tokens', 'output_tokens', 'concurrency']),
    /** At most this many in any window (at once, for concurrency). */
    amount,
    windowMs: amount.default(60_000),
    /** The provider also holds each slice of this length to its part of the amount. */
    sliceMs: amount.optional(),
    /** Whether a limit that the provider names replaces the amount. */
    auto: z.boolean().optional(),
    /** False: the amount only says how such a ceiling is compiled; it holds once the provider has named its own. */
    known: z.boolean().optional(),
    /** Share of the window that may be admitted ahead of an even pace; null: no pace. */
    burst: z.number().min(0).max(1).nullable().optional(),
  })
  .refine(
    ({ sliceMs, windowMs }) => sliceMs === undefined || sliceMs < windowMs,
    'a slice is shorter than its window',
  );

/** How a pool is shared and what its provider allows. */
export const poolSettingsSchema = z.strictObject({
  /** What one token of input and of output weigh in a lane's counter. */
  inputWeight: z.number().positive().default(1),
  outputWeight: z.number().positive().default(4),
  /** What the provider counts, see lua/includes/reserve.lua. */
  accounting: z
    .enum(['input_plus_max', 'max_of_both', 'input_plus_output_actual', 'input_only', 'bedrock'])
    .default('input_plus_max'),
  /** What one output token counts at the provider (`bedrock`). */
  burndown: z.number().positive().default(1),
  /** Added to every window: how much later than the grant a request may arrive. */
  guardMs: milliseconds.default(400),
  burst: z.number().min(0).max(1).default(0.01),
  /** After this long a job in hand no longer counts as running, should nobody have said so. */
  leaseMs: amount.default(3_600_000),
  /** An idle lane is forgotten after this long. */
  laneIdleMs: amount.default(3_600_000),
  /** A job with a deadline stands in its lane as if it had arrived this long before it. */
  deadlineLeadMs: milliseconds.default(300_000),
  /** Nothing is handed out; what waits goes on waiting. */
  paused: z.boolean().default(false),
  /** Jobs one tenant may have in hand at once, unless its own settings say otherwise; 0: any number. */
  tenantConcurrency: milliseconds.default(0),
  /** When a credential is left alone, see lua/includes/health.lua. */
  breaker: z
    .strictObject({
      failuresMax: amount.default(10),
      openMs: amount.default(5_000),
      openMaxMs: amount.default(60_000),
      probeMs: amount.default(60_000),
      billingMs: amount.default(300_000),
      /** A recovered or new credential begins with this share of its ceilings, and has all of them after `rampMs`. */
      rampShare: z.number().positive().max(1).default(0.1),
      rampMs: milliseconds.default(30_000),
      /** What grew too fast is set back by this growth, and may grow so again in `growthMs`. */
      growth: z.number().positive().default(0.5),
      growthMs: amount.default(900_000),
    })
    .prefault({}),
  /** How fast the input of a scope may grow, see lua/includes/growth.lua. */
  growth: z.strictObject({ freePerMinute: amount, most: z.number().positive(), periodMs: amount }).optional(),
  /** Ceilings by limit scope: credentials of one scope share them. */
  scopes: z.record(z.string(), z.array(ceilingSchema)).default({}),
  credentials: z
    .array(
      z.strictObject({
        id: z.string().regex(/^[\w.-]+$/),
        scope: z.string().regex(/^[\w.-]+$/),
        weight: z.number().positive().default(1),
        /** Changes with its key. */
        revision: z.string().optional(),
      }),
    )
    .default([]),
});

export type PoolSettings = z.output<typeof poolSettingsSchema>;
export type CeilingSettings = PoolSettings['scopes'][string][number];

export interface TenantSettings {
  weight?: number;
  /** Jobs in hand at once; 0: any number. */
  concurrency?: number;
  paused?: boolean;
}

/** A ceiling as the scripts read it. */
export interface CompiledCeiling {
  key: string;
  /** As `wait_reason` names it. */
  name: string;
  dimension: number;
  windowMs: number;
  /** What the provider allows in the window, as it names it, and whether it may name another. */
  limit: number;
  auto: boolean;
  amount: number;
  spanMs: number;
  slotMs: number;
  msPerUnit: number;
  /** -1: not paced. */
  burstMs: number;
  /** A single cost may be larger: it is then counted as the whole amount. */
  clamped: boolean;
  /** Of slices only: their length, and when in them calls are admitted; see lua/includes/slices.lua. */
  sliceMs?: number;
  frontMs?: number;
  openMs?: number;
  spreadMs?: number;
}

export const dimensions = ['requests', 'tokens', 'input_tokens', 'output_tokens', 'concurrency'] as const;
const letters = { requests: 'r', tokens: 't', input_tokens: 'it', output_tokens: 'ot' } as const;

/** A window has this many slots, unless they would be longer than the longest: how much later than exactly it ends. */
const slotsPerWindow = 1_200;
const longestSlotMs = 250;
/** Share of a slice around its end in which nothing is admitted, so that calls may arrive late, or its clock differ. */
const sliceGapShare = 0.06;
/** Part of it that lies at the start of the next slice. */
const sliceFrontShare = 0.25;
/** Share of the rest over which a slice's calls are spread; what lags behind is made up afterwards. */
const sliceSpreadShare = 0.9;
/** Longer windows (a day's quota) are used as fast as they allow, unless a burst says otherwise. */
const longestPacedMs = 60_000;
/** A pace is kept over at least this long: workers wake late by a few milliseconds. */
const shortestBurstMs = 20;

const slotMsOf = (windowMs: number) =>
  Math.max(1, Math.min(longestSlotMs, Math.floor(windowMs / slotsPerWindow)));

function nameOf({ dimension, windowMs }: CeilingSettings): string {
  if (dimension === 'concurrency') return 'concurrency';
  return `${letters[dimension]}p${windowMs > 3_600_000 ? 'd' : windowMs > 60_000 ? 'h' : 'm'}`;
}

function compileCeiling(scope: string, ceiling: CeilingSettings, settings: PoolSettings): CompiledCeiling[] {
  const { dimension, windowMs, sliceMs, amount } = ceiling;
  const burst = ceiling.burst === undefined && windowMs <= longestPacedMs ? settings.burst : ceiling.burst;
  const slotMs = slotMsOf(windowMs);
  const spanMs = windowMs + settings.guardMs;
  const whole = {
    key: `${scope}:${dimension}:${windowMs}`,
    name: nameOf(ceiling),
    dimension: dimensions.indexOf(dimension) + 1,
    windowMs,
    limit: amount,
    auto: ceiling.auto === true,
    amount,
    spanMs,
    slotMs,
    msPerUnit: (spanMs + slotMs) / amount,
    burstMs: typeof burst === 'number' ? Math.max(shortestBurstMs, burst * (spanMs + slotMs)) : -1,
    clamped: false,
  };
  if (sliceMs === undefined || dimension === 'concurrency') return [whole];
  const part = Math.max(1, Math.floor((amount * sliceMs) / windowMs));
  const gapMs = Math.min(settings.guardMs, Math.ceil(sliceMs * sliceGapShare));
  const openMs = sliceMs - gapMs;
  const slice = {
    ...whole,
    key: `${whole.key}/${sliceMs}`,
    amount: part,
    // Wherever a slice begins at the provider: any stretch of this length is held to its amount too.
    spanMs: openMs,
    slotMs: slotMsOf(sliceMs),
    msPerUnit: sliceMs / part,
    burstMs: -1,
    clamped: true,
    sliceMs,
    frontMs: Math.ceil(gapMs * sliceFrontShare),
    openMs,
    spreadMs: openMs * sliceSpreadShare,
  };
  return [whole, slice];
}

/** Steps in which a period of growth is counted. */
const growthSteps = 5;

const compileGrowth = ({ freePerMinute, most, periodMs }: NonNullable<PoolSettings['growth']>) => ({
  freePerMs: freePerMinute / 60_000,
  most,
  steps: growthSteps,
  stepMs: Math.max(1, Math.floor(periodMs / growthSteps)),
});

/** The settings of a pool as the scripts read them. @throws ZodError */
export function compilePool(input: z.input<typeof poolSettingsSchema>) {
  const settings = poolSettingsSchema.parse(input);
  const { scopes, growth, guardMs: _guard, burst: _burst, ...rest } = settings;
  const compiled = (isKnown: boolean) =>
    Object.fromEntries(
      Object.entries(scopes).map(([scope, ceilings]) => [
        scope,
        ceilings
          .filter(({ known = true }) => known === isKnown)
          .flatMap((ceiling) => compileCeiling(scope, ceiling, settings)),
      ]),
    ) as Record<string, CompiledCeiling[]>;
  const grown = growth && { growth: compileGrowth(growth) };
  return { ...rest, ...grown, scopes: compiled(true), unknown: compiled(false) };
}

export type CompiledPool = ReturnType<typeof compilePool>;

/** A tenant's settings as the scripts read them. */
export function compileTenant({ weight = 1, concurrency = 0, paused = false }: TenantSettings): string {
  if (!(weight > 0)) throw new RangeError(`A tenant's weight is above zero, not ${weight}.`);
  return `${weight} ${concurrency} ${paused ? 1 : 0}`;
}
