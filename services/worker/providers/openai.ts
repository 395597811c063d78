import type { Usage } from '#shared/contracts/job.ts';
import { type ProviderAdapter, tokenCount } from './provider-adapter.ts';
import { readChatEvent, readResponseEvent } from './stream-reader.ts';

/** The Responses API counts `input_tokens` and `output_tokens`; the older endpoints name them otherwise. */
function readUsage(answer: Record<string, unknown>): Usage | undefined {
  const usage = (answer.usage ?? {}) as Record<string, unknown>;
  const inputTokens = tokenCount(usage.prompt_tokens) ?? tokenCount(usage.input_tokens);
  if (inputTokens === undefined) return undefined;
  // Embeddings have no output.
  const isEmbedding = usage.prompt_tokens !== undefined && usage.completion_tokens === undefined;
  const outputTokens = isEmbedding ? 0 : tokenCount(usage.completion_tokens ?? usage.output_tokens);
  return outputTokens === undefined ? undefined : { inputTokens, outputTokens };
}

export const openaiAdapter: ProviderAdapter = {
  authHeaders: (apiKey) => ({ authorization: `Bearer ${apiKey}` }),
  readUsage,
  isAnswer(endpoint, answer) {
    if (endpoint === '/v1/embeddings') return Array.isArray(answer.data);
    return Array.isArray(endpoint === '/v1/responses' ? answer.output : answer.choices);
  },
  streamReader: (endpoint) =>
    endpoint === '/v1/responses' ? readResponseEvent(readUsage) : readChatEvent(readUsage),
};
