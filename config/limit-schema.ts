import { z } from 'zod';
import { count, milliseconds } from './setting-types.ts';

/** By what calls are told apart, beside the customer, team or key that a limit stands at. */
const limitAxes = ['key', 'team', 'user', 'feature', 'provider', 'model', 'route'] as const;
type LimitAxis = (typeof limitAxes)[number];

/** What a limit counts. */
const limitDimensions = ['requests', 'tokens', 'input_tokens', 'output_tokens', 'concurrency'] as const;

const limitsMax = 16;
const budgetsMax = 8;
const patternsMax = 32;
/** More would not be exact any more where USD are counted in billionths. */
const usdMax = 1_000_000;
const amountMax = 1_000_000_000_000;

const span = z
  .string()
  .regex(/^[1-9]\d{0,3}[smhdwMY]$/, 'use a number and one of s m h d w M (30 days) Y (365 days), such as 1m');

const pattern = z.string().min(1).max(256);
const patterns = (what: string) =>
  z
    .union([pattern, z.array(pattern).min(1).max(patternsMax)])
    .optional()
    .describe(`Only calls ${what} are counted. A name, or a list of names; \`*\` ends a prefix.`);
const per = z
  .array(z.enum(limitAxes))
  .max(limitAxes.length)
  .refine((axes) => new Set(axes).size === axes.length, 'each axis once')
  .default([])
  .describe(
    'Each value of these axes, or combination of values, is counted on its own; calls that name none share one count. Nothing: all calls are counted together.',
  );
const match = z
  .strictObject({
    key: patterns('with these virtual keys'),
    team: patterns('of these teams'),
    user: patterns('for these users'),
    feature: patterns('of these features'),
    provider: patterns('to these providers'),
    model: patterns('to these models'),
    route: patterns('by these routes'),
  } satisfies Record<LimitAxis, z.ZodType>)
  .prefault({});
const calendar = z
  .boolean()
  .default(false)
  .describe(
    'Whether the window begins anew with each full minute, hour, day, week (Monday), month or year in UTC.',
  );

const amount = (reason: string) => z.number().int().min(1).max(amountMax).optional().describe(reason);

const limitObject = z.strictObject({
  per,
  requests: amount('Calls per window.'),
  tokens: amount('Input and output tokens per window.'),
  input_tokens: amount('Input tokens per window.'),
  output_tokens: amount('Output tokens per window.'),
  concurrency: amount(
    'Calls that have been accepted, or while they wait for this limit have begun, and not ended.',
  ),
  window: span.optional().describe('Length of the window. Unset: `1m`.'),
  algorithm: z
    .enum(['sliding_window', 'token_bucket', 'leaky_bucket'])
    .default('sliding_window')
    .describe(
      'No more than the amount in any window, wherever it begins; a bucket of `burst` that refills evenly; or an even flow without bursts.',
    ),
  burst: amount('What a token bucket holds. Unset: the amount of a window.'),
  calendar,
  match,
  on_full: z
    .enum(['reject', 'queue'])
    .default('reject')
    .describe('Whether a call that does not fit is refused with 429, or waits until there is room.'),
});

type LimitInput = z.output<typeof limitObject>;

function whatIsWrong(limit: LimitInput): string | undefined {
  const amounts = limitDimensions.filter((dimension) => limit[dimension] !== undefined);
  if (amounts.length !== 1) return `give one of ${limitDimensions.join(', ')}`;
  const windowed = limit.window !== undefined || limit.calendar || limit.algorithm !== 'sliding_window';
  if (limit.concurrency !== undefined && windowed) return 'concurrency has no window';
  if (limit.burst !== undefined && limit.algorithm !== 'token_bucket')
    return 'only a token_bucket has a burst';
  if (!limit.calendar) return undefined;
  if (limit.algorithm !== 'sliding_window') return 'a calendar window has no algorithm';
  return isOneUnit(limit.window) ? undefined : 'a calendar window is one unit long, such as 1d';
}

const isOneUnit = (window = '1m') => /^1[mhdwMY]$/.test(window);

/** Two limits that count the same thing would charge each call twice. */
function refuseTwins(limits: readonly object[], context: z.RefinementCtx): void {
  const seen = new Set<string>();
  for (const [index, limit] of limits.entries()) {
    const {
      on_full: _full,
      on_exhausted: _exhausted,
      unpriced: _unpriced,
      usd: _usd,
      burst: _burst,
      ...counted
    } = limit as Record<string, unknown>;
    const amounts = limitDimensions.flatMap((dimension) =>
      counted[dimension] === undefined ? [] : [dimension],
    );
    for (const dimension of amounts) counted[dimension] = 0;
    const text = JSON.stringify(counted);
    if (seen.has(text))
      context.addIssue({ code: 'custom', path: [index], message: 'another one counts the same' });
    seen.add(text);
  }
}

const limitSchema = limitObject.superRefine((limit, context) => {
  const message = whatIsWrong(limit);
  if (message) context.addIssue({ code: 'custom', message });
});

const budgetSchema = z
  .strictObject({
    per,
    usd: z.number().min(0.000001).max(usdMax).describe('US dollars per window.'),
    reset: span.default('1M').describe('Length of the window.'),
    calendar,
    match,
    on_exhausted: z
      .union([z.enum(['reject', 'queue']), z.strictObject({ model: z.string().min(1).max(300) })])
      .default('reject')
      .describe(
        'Whether a call that could cost more than is left is refused with 429, waits, or is made with the `{ model }` that is named, if that fits.',
      ),
    unpriced: z
      .enum(['refuse', 'free'])
      .default('refuse')
      .describe('What becomes of calls to models whose price is not known.'),
  })
  .refine(({ calendar: aligned, reset }) => !aligned || isOneUnit(reset), {
    path: ['reset'],
    error: 'a calendar window is one unit long, such as 1M',
  });

/** What customers, teams and keys carry. */
export const quotaFields = {
  limits: z
    .array(limitSchema)
    .max(limitsMax)
    .superRefine(refuseTwins)
    .default([])
    .describe(
      'What may be used at most. All limits of a call’s key, team and customer must admit it, or none is charged.',
    ),
  budgets: z
    .array(budgetSchema)
    .max(budgetsMax)
    .superRefine(refuseTwins)
    .default([])
    .describe('What may be spent at most. A call holds the most it can cost until it has ended.'),
};

/** How many calls of one key may wait. */
export const keyDepthFields = {
  max_queue_depth: z
    .number()
    .int()
    .min(1)
    .max(10_000_000)
    .optional()
    .describe(
      'Calls of this key that may wait at once; more are refused with 429. Unset: as many as its customer’s.',
    ),
  warn_queue_depth: z
    .number()
    .int()
    .min(1)
    .max(10_000_000)
    .optional()
    .describe(
      'From this many waiting calls of the key on, answers carry the header `x-sluice-backpressure`.',
    ),
};

/** How quotas are kept, for all tenants. */
export const quotasSchema = z
  .strictObject({
    counters_max: count(
      100_000,
      1,
      10_000_000,
      'Counters of one tenant whose values (users, features, models) its callers choose. A call that would need one more is refused.',
    ),
    open_output_tokens: count(
      1_024,
      1,
      10_000_000,
      'Output tokens that quotas hold for a call that names no maximum, unless such calls usually produce more; never more than the quota has.',
    ),
    capped_output_tokens: count(
      4_096,
      1,
      1_000_000,
      'For a call that a budget may count and that names no maximum of output tokens: the maximum its provider is asked for, which the budget holds. Models that can write less refuse more.',
    ),
    recheck_ms: milliseconds(
      30_000,
      100,
      3_600_000,
      'Longest time until a call that waits for a quota is looked at again (grows with each thousand of them); what becomes free wakes it sooner.',
    ),
  })
  .prefault({});
