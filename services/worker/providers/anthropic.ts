import { type ProviderAdapter, tokenCount } from './provider-adapter.ts';

/** Version sent when the caller names none. */
const defaultVersion = '2023-06-01';

export const anthropicAdapter: ProviderAdapter = {
  authHeaders: (apiKey) => ({ 'x-api-key': apiKey, 'anthropic-version': defaultVersion }),

  readUsage(answer) {
    const usage = (answer.usage ?? {}) as Record<string, unknown>;
    const uncached = tokenCount(usage.input_tokens);
    const outputTokens = tokenCount(usage.output_tokens);
    if (uncached === undefined || outputTokens === undefined) return undefined;
    // `input_tokens` leaves out what the prompt cache wrote and read.
    const written = tokenCount(usage.cache_creation_input_tokens) ?? 0;
    const read = tokenCount(usage.cache_read_input_tokens) ?? 0;
    return { inputTokens: uncached + written + read, outputTokens };
  },

  isAnswer: (_endpoint, answer) => answer.type === 'message' && Array.isArray(answer.content),
};
