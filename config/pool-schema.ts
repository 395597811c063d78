import { z } from 'zod';
import { qualitySchema } from './route-schema.ts';
import { count, milliseconds, seconds } from './setting-types.ts';
import { tierCeilings } from './tiers.ts';

const perWindow = (reason: string) =>
  z.number().int().min(1).max(1_000_000_000_000).optional().describe(reason);

const ceilingsObject = z.strictObject({
  auto: z
    .boolean()
    .default(false)
    .describe(
      'Whether a limit that the provider names in its answers replaces the one given here, up or down. `ceilings: auto` is short for this alone: what is not given is learned.',
    ),
  rpm: perWindow('Requests per minute.'),
  tpm: perWindow('Tokens per minute, input and output together as `token_accounting` counts them.'),
  itpm: perWindow('Input tokens per minute.'),
  otpm: perWindow('Output tokens per minute.'),
  rpd: perWindow('Requests per day.'),
  tpd: perWindow('Tokens per day.'),
  concurrency: perWindow('Requests open at once, over all workers.'),
});
const ceilingsSchema = z.preprocess(
  (given) => (given === 'auto' ? { auto: true } : given),
  ceilingsObject.prefault({}),
);

/** How providers count the tokens of a call. */
const tokenAccountings = [
  'input_plus_max',
  'max_of_both',
  'input_plus_output_actual',
  'input_only',
  'bedrock',
] as const;

const breakerSchema = z
  .strictObject({
    failures_max: count(
      10,
      1,
      1_000_000,
      'Failures in a row (server, capacity, connection) after which nothing more is sent on a credential.',
    ),
    open_ms: milliseconds(
      5_000,
      10,
      3_600_000,
      'How long it is then left alone before one call probes it; doubled each time the probe fails.',
    ),
    open_max_ms: milliseconds(60_000, 10, 3_600_000, 'Longest time between two probes.'),
    probe_ms: milliseconds(60_000, 100, 3_600_000, 'A probe that took longer may be followed by another.'),
    billing_probe_ms: milliseconds(
      300_000,
      100,
      86_400_000,
      'How often a credential that is refused over money is probed.',
    ),
  })
  .prefault({});

const rampSchema = z
  .strictObject({
    start_share: z
      .number()
      .min(0.001)
      .max(1)
      .default(0.1)
      .describe('Share of its ceilings that a recovered credential, or one added later, begins with.'),
    recovery_ms: milliseconds(30_000, 0, 3_600_000, 'When it may use all of them again.'),
    growth: z
      .number()
      .min(0.01)
      .max(10)
      .default(0.5)
      .describe(
        'How much the provider lets us grow in `growth_ms`, once it told us to slow down; 0.5: by half.',
      ),
    growth_ms: milliseconds(900_000, 100, 86_400_000, 'See `growth`.'),
    free_input_tokens: z
      .int()
      .min(1)
      .optional()
      .describe(
        'Input tokens per minute beyond which each limit scope grows by no more than `growth` in `growth_ms` even before the provider complains (OpenAI names 1,000,000). Unset: growth is limited once it complains.',
      ),
  })
  .prefault({});

const poolObject = z.strictObject({
  models: z
    .array(z.string().min(1).max(200))
    .min(1)
    .describe(
      'Models that share the ceilings of this pool. `prefix*` takes every model that begins so; exact names win.',
    ),
  mode: z
    .enum(['open', 'paused', 'draining'])
    .default('open')
    .describe(
      '`paused`: calls are taken and wait, nothing is sent. `draining`: new calls are refused with 503, what waits is run.',
    ),
  concurrency: count(64, 1, 10_000, 'Calls one worker process has open to this pool at once.'),
  ceilings: ceilingsSchema.describe(
    'What the provider allows, per limit scope. Nothing set: nothing is held back.',
  ),
  tier: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .describe(
      'Usage tier at the provider: fills in the ceilings that are not given, from `config/tiers.yaml`.',
    ),
  depth_max: z
    .number()
    .int()
    .min(1)
    .max(10_000_000)
    .optional()
    .describe(
      'Calls of all tenants that may wait in this pool, give or take those being accepted at the same moment; see `on_full`. Unset: only the queues of tenants are bounded.',
    ),
  on_full: z
    .enum(['block', 'error', 'drop'])
    .default('block')
    .describe(
      'What becomes of a call for a pool in which `depth_max` calls wait: it waits all the same, is refused with 503, or takes the place of the oldest waiting call of its tenant, which ends as `dropped`.',
    ),
  breaker: breakerSchema,
  ramp: rampSchema,
  quality: qualitySchema
    .optional()
    .describe('Which answers with status 200 count as failures of this pool. Unset: none.'),
  token_accounting: z
    .enum(tokenAccountings)
    .default('input_plus_max')
    .describe(
      'How the provider counts tokens: input and max_tokens at once (OpenAI), the larger of both, input and real output (Anthropic), input only (Gemini), or input and max_tokens with a later correction (Bedrock).',
    ),
  cached_input: z
    .enum(['free', 'counted'])
    .optional()
    .describe(
      'Whether the provider counts input that its prompt cache read (Groq does not). Unset: free under `input_plus_output_actual` and `bedrock`. What a provider holds from the start on and never corrects counts in full either way.',
    ),
  burndown: z.number().min(1).max(100).default(1).describe('What one output token counts under `bedrock`.'),
  max_tokens_default: count(
    16,
    0,
    1_000_000,
    'Output tokens the provider counts for a call that names no maximum.',
  ),
  max_tokens_translated: count(
    8_192,
    1,
    1_000_000,
    'Output tokens asked for when a translated call names no maximum and its provider demands one (Anthropic, Bedrock).',
  ),
  window_seconds: seconds(60, 1, 3_600, 'Length of the window of rpm, tpm, itpm and otpm; 60 but for tests.'),
  slice_ms: z
    .number()
    .int()
    .min(10)
    .max(60_000)
    .optional()
    .describe(
      'Set when the provider also holds each slice of this length to its part of the ceiling. Milliseconds.',
    ),
  guard_ms: milliseconds(
    400,
    0,
    10_000,
    'Added to every window, because requests arrive later than they were granted; a grant older than 40 % of it is given back unused, and the rest is for the way to the provider.',
  ),
  input_weight: z
    .number()
    .positive()
    .max(1_000)
    .default(1)
    .describe('What an input token weighs in a tenant’s share.'),
  output_weight: z
    .number()
    .positive()
    .max(1_000)
    .default(4)
    .describe('What an output token weighs in a tenant’s share.'),
});

const poolFields = poolObject.refine(
  ({ slice_ms, window_seconds }) => slice_ms === undefined || slice_ms < window_seconds * 1_000,
  { path: ['slice_ms'], error: 'must be shorter than window_seconds' },
);

/** One pool: the models of a provider that share one set of ceilings. */
export const poolSchema = poolFields.transform((pool, context) => {
  if (pool.tier === undefined) return pool;
  try {
    return { ...pool, ceilings: { ...tierCeilings(pool.tier, pool.models), ...pool.ceilings } };
  } catch (error) {
    context.addIssue({ code: 'custom', path: ['tier'], message: (error as RangeError).message });
    return z.NEVER;
  }
});
