import { z } from 'zod';

const maxWindowMs = 31 * 86_400_000;

const limitSchema = z.strictObject({
  dimension: z.enum(['requests', 'tokens', 'input_tokens', 'output_tokens', 'concurrency']),
  amount: z.number().positive(),
  windowMs: z.int().positive().max(maxWindowMs).default(60_000),
  /** Ignored for `concurrency`, which has no window. */
  shape: z.enum(['refill', 'fixed', 'slices', 'rolling']).default('refill'),
  /** `refill` only: capacity as a fraction of the amount; 1/60 is a minute's limit enforced per second. */
  burstFraction: z.number().positive().max(1).default(1),
  /** `slices` only. */
  sliceMs: z.int().positive().default(1000),
  /** `slices` only; without it the amount is spread evenly. */
  allowPerSlice: z.number().positive().optional(),
});

const scopeSchema = z.strictObject({
  name: z.string().min(1).default('default'),
  /** Whole API keys, or '*' for every key. */
  credential: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).default('*'),
  /** Model names; '*' matches all, 'gpt-*' a prefix. */
  models: z.array(z.string().min(1)).min(1).default(['*']),
  /** Whether every credential has counters of its own; false = all matching ones share them. */
  perCredential: z.boolean().default(false),
  perModel: z.boolean().default(false),
  /** How the `tokens` dimension is charged (facts: provider by provider). */
  tokenAccounting: z
    .enum(['input_plus_max_tokens', 'max_of_both', 'actual', 'input_only', 'bedrock'])
    .default('input_plus_max_tokens'),
  /** What is reserved for the answer when the request names no maximum. */
  defaultMaxTokens: z.int().nonnegative().default(16),
  /** `bedrock` only: what one output token costs in the end. */
  burndown: z.number().positive().default(1),
  /** Whether a refused request uses up allowance all the same (OpenAI, Azure: yes). */
  rejectedRequestsCount: z.boolean().default(true),
  /** The share of every ceiling that somebody else, who is not seen here, uses up. */
  sharedUse: z.number().min(0).max(0.99).default(0),
  headerDialect: z.enum(['openai', 'anthropic', 'azure', 'mistral', 'groq', 'none']).default('openai'),
  /** Whether a 429 carries Retry-After; by default as that provider does. */
  retryAfter: z.boolean().optional(),
  limits: z.array(limitSchema).min(1),
});

export const limitsSchema = z.strictObject({ scopes: z.array(scopeSchema).max(1000) });

export type LimitConfig = z.infer<typeof limitSchema>;
export type ScopeConfig = z.infer<typeof scopeSchema>;
export type LimitsConfig = z.infer<typeof limitsSchema>;
/** The same before defaults are filled in: what a file or a caller writes. */
export type LimitsInput = z.input<typeof limitsSchema>;
