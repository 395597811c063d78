import type { Usage } from '#shared/contracts/job.ts';
import { fieldsOf, type ProviderAdapter, partsOf, tokenCount } from './provider-adapter.ts';
import { readMessageEvent } from './stream-reader.ts';

/** Version sent when the caller names none. */
const defaultVersion = '2023-06-01';

/** What an answer, or one event of a stream, says of its tokens; each half may be missing. */
function readParts(answer: Record<string, unknown>): Partial<Usage> {
  const usage = fieldsOf(answer.usage);
  const uncached = tokenCount(usage.input_tokens);
  const outputTokens = tokenCount(usage.output_tokens);
  // `input_tokens` leaves out what the prompt cache wrote and read.
  const written = tokenCount(usage.cache_creation_input_tokens) ?? 0;
  const read = tokenCount(usage.cache_read_input_tokens) ?? 0;
  return {
    ...(uncached === undefined ? {} : { inputTokens: uncached + written + read }),
    ...(outputTokens === undefined ? {} : { outputTokens }),
    ...partsOf({
      cachedInputTokens: read,
      cacheWriteTokens: written,
      cacheWriteLongTokens: fieldsOf(usage.cache_creation).ephemeral_1h_input_tokens,
      reasoningTokens: fieldsOf(usage.output_tokens_details).thinking_tokens,
    }),
  };
}

export const anthropicAdapter: ProviderAdapter = {
  authHeaders: (apiKey) => ({ 'x-api-key': apiKey, 'anthropic-version': defaultVersion }),

  readUsage(answer) {
    const { inputTokens, outputTokens, ...parts } = readParts(answer);
    if (inputTokens === undefined || outputTokens === undefined) return undefined;
    return { inputTokens, outputTokens, ...parts };
  },

  isAnswer: (_endpoint, answer) => answer.type === 'message' && Array.isArray(answer.content),
  streamReader: () => readMessageEvent(readParts),
};
