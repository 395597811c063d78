import type { ProviderSettings } from '#config/schema.ts';
import type { Unused } from '#shared/queue/fair/claims.ts';
import type { HeldTicket } from '#shared/queue/ticket-worker.ts';
import type { AttemptResult } from './attempt-result.ts';
import type { Ending } from './settle-outcome.ts';

type PoolSettings = ProviderSettings['pools'][string];

/**
 * What an ended job is charged in its tenant's share and under the ceilings. A refused one costs its input: were it free,
 * a tenant could fill the windows of others with calls that fail. `pool` is undefined when it has left the configuration.
 */
export function chargedUsage(
  ending: Ending,
  result: AttemptResult,
  { ticket }: HeldTicket,
  pool: PoolSettings | undefined,
): { in: number; out: number } | undefined {
  if (result.kind === 'refused') return { in: ticket.input ?? 1, out: 0 };
  if (!ending.usage) return undefined;
  const { inputTokens, outputTokens, cachedInputTokens = 0 } = ending.usage;
  const free = pool && cachedIsFree(pool) ? Math.min(cachedInputTokens, inputTokens) : 0;
  return { in: inputTokens - free, out: outputTokens };
}

/** Providers that count real output (Anthropic) and Bedrock leave out what their prompt cache read, unless told otherwise. */
const cachedIsFree = ({ cached_input, token_accounting }: PoolSettings) =>
  cached_input === undefined
    ? token_accounting === 'input_plus_output_actual' || token_accounting === 'bedrock'
    : cached_input === 'free';

/** What an attempt left unused of its grant, as far as its end tells. */
export function unusedOf(result: AttemptResult): Unused | undefined {
  if (result.kind === 'refused') return 'output';
  return result.kind === 'unanswered' && result.failure === 'notSent' ? 'all' : undefined;
}
