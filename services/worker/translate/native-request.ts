import type { Operation } from '#shared/contracts/endpoint.ts';
import type { CallOptions } from '#shared/translation/call.ts';
import type { Fields } from './answer-writer.ts';

/** A request in the provider's own dialect. */
export interface NativeRequest {
  operation: Operation;
  body: string;
  headers: Record<string, string>;
}

/** What Anthropic allows as the smallest budget for thinking, tokens. */
const smallestBudget = 1_024;

/** The request that a model of the AI SDK would send: its body, and the headers that say what the body needs. */
export function requestOf(
  operation: Operation,
  { maxOutputTokens }: CallOptions,
  init: RequestInit | undefined,
): NativeRequest {
  const beta = new Headers(init?.headers).get('anthropic-beta');
  const written = typeof init?.body === 'string' ? init.body : '';
  const body = written.includes('"budget_tokens"') ? withinMaximum(written, maxOutputTokens) : written;
  return { operation, body, headers: beta ? { 'anthropic-beta': beta } : {} };
}

/**
 * The AI SDK adds the budget for thinking to the maximum. The caller's maximum holds for both, as it does in its own dialect
 * and in the ceilings, so the budget is what gives way.
 */
function withinMaximum(text: string, maximum: number | undefined): string {
  const body = JSON.parse(text) as Fields;
  const thinking = body.thinking as { budget_tokens: number } | undefined;
  if (maximum === undefined || !thinking) return text;
  body.max_tokens = Math.min(maximum, Number(body.max_tokens));
  if (maximum <= smallestBudget) delete body.thinking;
  else thinking.budget_tokens = Math.max(smallestBudget, Math.min(thinking.budget_tokens, maximum >> 1));
  return JSON.stringify(body);
}
