import { z } from 'zod';
import { count, milliseconds, name, seconds } from './setting-types.ts';

const daySeconds = 86_400;
const gigabyte = 1_073_741_824;

/** How calls of a customer, one of its keys or a route use the cache; what is left out is taken from the one before. */
export const cachePolicySchema = z
  .strictObject({
    mode: z
      .enum(['off', 'exact', 'semantic'])
      .optional()
      .describe(
        'Whether calls are answered from the cache: `exact` for the same request, `semantic` also for one whose last user message means the same (as `exact` while `cache.semantic.model` is unset). A call may choose with `x-sluice-cache`. Unset: off.',
      ),
    ttl_seconds: z
      .number()
      .int()
      .min(1)
      .max(365 * daySeconds)
      .optional()
      .describe('How long an answer is served again. Unset: `cache.ttl_seconds`. Seconds.'),
    namespace: name
      .optional()
      .describe('Answers are shared within a namespace of the tenant. Unset: `default`.'),
    threshold: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe('Least cosine similarity of a semantic hit. Unset: `cache.semantic.threshold`.'),
    coalesce: z
      .boolean()
      .optional()
      .describe('Whether identical calls that are held open at the same time share one job. Unset: no.'),
    hits: z
      .enum(['free', 'charged'])
      .optional()
      .describe('Whether a hit is charged as if the provider had been called. Unset: free.'),
    store_tool_calls: z
      .boolean()
      .optional()
      .describe(
        'Whether answers that call tools are stored: whoever gets one runs the tool again. Unset: no.',
      ),
    store_truncated: z
      .boolean()
      .optional()
      .describe('Whether answers that were cut short by their length or a filter are stored. Unset: no.'),
  })
  .optional()
  .describe('How calls use the cache of answers.');

const semanticSchema = z
  .strictObject({
    model: z
      .string()
      .max(300)
      .optional()
      .describe(
        'Embedding model, as callers name it, by which questions are compared. Unset: no semantic cache.',
      ),
    dimensions: z
      .number()
      .int()
      .min(8)
      .max(4_096)
      .optional()
      .describe('Asked of the embedding model, if it can be asked for. Unset: whatever it gives.'),
    threshold: z
      .number()
      .min(0)
      .max(1)
      .default(0.95)
      .describe('Least cosine similarity of two questions that share an answer.'),
    timeout_ms: milliseconds(
      2_000,
      10,
      60_000,
      'How long a call waits for its embedding; then it is a miss.',
    ),
    text_max_chars: count(
      8_192,
      1,
      1_000_000,
      'Longest last message that is compared; a longer one must be the same.',
    ),
    group_entries_max: count(
      1_000,
      1,
      100_000,
      'Questions kept per context (system prompt, tools, parameters, conversation before); the oldest go first.',
    ),
    index_max_bytes: count(
      134_217_728,
      1_048_576,
      8 * gigabyte,
      'Memory for vectors of one ingress process; the contexts used longest ago are read again when needed.',
    ),
  })
  .prefault({});

/** Answers that are given again without calling a provider. */
export const cacheSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe(
        'Whether there is a cache at all. It is used only by calls, routes, keys or customers that ask for it.',
      ),
    ttl_seconds: seconds(
      3_600,
      1,
      365 * daySeconds,
      'How long an answer is served again, unless somebody says otherwise.',
    ),
    ttl_max_seconds: seconds(30 * daySeconds, 1, 365 * daySeconds, 'Longest time a call may ask for.'),
    entries_max: count(
      10_000,
      1,
      10_000_000,
      'Answers kept per tenant; those that would expire first go first.',
    ),
    bytes_max: count(268_435_456, 1_024, 1_024 * gigabyte, 'Bytes of answers kept per tenant.'),
    entry_max_bytes: count(4_194_304, 1_024, 268_435_456, 'Largest answer that is kept.'),
    stores_max: count(64, 1, 10_000, 'Answers one worker stores at once; more are not stored.'),
    readers_max: count(
      10_000,
      2,
      1_000_000,
      'Identical calls that may share one job; the next one starts another.',
    ),
    semantic: semanticSchema,
  })
  .prefault({});
