import type { Dialect, Operation } from '#shared/contracts/endpoint.ts';

/** The operation of a provider that answers what callers of other dialects ask. */
export const nativeOperations: Record<Dialect, Operation> = {
  openai: '/v1/chat/completions',
  anthropic: '/v1/messages',
  gemini: '/v1beta/models/{model}:generateContent',
  bedrock: '/model/{model}/converse',
};
