import type { Usage } from '#shared/contracts/job.ts';
import { fieldsOf, partsOf, tokenCount, type WireFormat } from '../wire-format.ts';
import { readChatEvent, readResponseEvent } from './read-events.ts';

/** The Responses API counts `input_tokens` and `output_tokens`; the older endpoints name them otherwise. */
function readUsage(answer: Record<string, unknown>): Usage | undefined {
  const usage = fieldsOf(answer.usage);
  const inputTokens = tokenCount(usage.prompt_tokens) ?? tokenCount(usage.input_tokens);
  if (inputTokens === undefined) return undefined;
  // Embeddings have no output.
  const isEmbedding = usage.prompt_tokens !== undefined && usage.completion_tokens === undefined;
  const outputTokens = isEmbedding ? 0 : tokenCount(usage.completion_tokens ?? usage.output_tokens);
  if (outputTokens === undefined) return undefined;
  const input = fieldsOf(usage.prompt_tokens_details ?? usage.input_tokens_details);
  const output = fieldsOf(usage.completion_tokens_details ?? usage.output_tokens_details);
  const parts = partsOf({
    cachedInputTokens: input.cached_tokens,
    cacheWriteTokens: input.cache_write_tokens,
    reasoningTokens: output.reasoning_tokens,
  });
  return { inputTokens, outputTokens, ...parts };
}

export const openaiWire: WireFormat = {
  readUsage,
  isAnswer(operation, answer) {
    if (operation === '/v1/embeddings') return Array.isArray(answer.data);
    return Array.isArray(operation === '/v1/responses' ? answer.output : answer.choices);
  },
  streamReader: (operation) =>
    operation === '/v1/responses' ? readResponseEvent(readUsage) : readChatEvent(readUsage),
  errorBody: (error) => ({ error }),
};
