import { type ProviderAdapter, tokenCount } from './provider-adapter.ts';

export const openaiAdapter: ProviderAdapter = {
  authHeaders: (apiKey) => ({ authorization: `Bearer ${apiKey}` }),

  readUsage(answer) {
    const usage = (answer.usage ?? {}) as Record<string, unknown>;
    const inputTokens = tokenCount(usage.prompt_tokens);
    if (inputTokens === undefined) return undefined;
    // Embeddings have no output.
    const outputTokens = usage.completion_tokens === undefined ? 0 : tokenCount(usage.completion_tokens);
    return outputTokens === undefined ? undefined : { inputTokens, outputTokens };
  },

  isAnswer: (endpoint, answer) => Array.isArray(endpoint === '/v1/embeddings' ? answer.data : answer.choices),
};
