import type { LanguageModelV4 } from '@ai-sdk/provider';
import { type ProviderKind, providerDialect } from '#shared/contracts/endpoint.ts';

export type Fetch = typeof globalThis.fetch;

/** Never used: requests go where the provider's own adapter sends them, with its key. */
const nowhere = { apiKey: 'unused', baseURL: 'https://provider.invalid' };

/**
 * OpenAI's own models, whoever is asked for them. They take parameters that others do not know, and refuse some that others
 * want; others name their reasoning in the answer.
 */
const ownModels = /^(gpt-(?!oss)|chatgpt|codex|o\d|ft:)/;

export const isOpenaiOwn = (kind: ProviderKind, model: string): boolean =>
  kind === 'azure' || ownModels.test(model);

/**
 * The model of a provider as the AI SDK knows it: it writes requests and reads answers, and sends nothing by itself. A
 * package is loaded when the first call needs it.
 */
export async function openModel(kind: ProviderKind, model: string, fetch: Fetch): Promise<LanguageModelV4> {
  switch (providerDialect[kind]) {
    case 'openai':
      return openChatModel(isOpenaiOwn(kind, model), model, fetch);
    case 'anthropic': {
      const { createAnthropic } = await import('@ai-sdk/anthropic');
      return createAnthropic({ ...nowhere, fetch })(model);
    }
    case 'gemini': {
      const { createGoogle } = await import('@ai-sdk/google');
      return createGoogle({ ...nowhere, fetch })(model);
    }
    case 'bedrock': {
      const { createAmazonBedrock } = await import('@ai-sdk/amazon-bedrock');
      return createAmazonBedrock({ ...nowhere, region: 'unused', fetch })(model);
    }
  }
}

async function openChatModel(own: boolean, model: string, fetch: Fetch): Promise<LanguageModelV4> {
  if (own) {
    const { createOpenAI } = await import('@ai-sdk/openai');
    return createOpenAI({ ...nowhere, fetch }).chat(model);
  }
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');
  const settings = { name: 'compatible', includeUsage: true, supportsStructuredOutputs: true };
  return createOpenAICompatible({ ...nowhere, ...settings, fetch })(model);
}
