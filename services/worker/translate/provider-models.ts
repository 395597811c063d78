import type { LanguageModelV4 } from '@ai-sdk/provider';
import type { Dialect } from '#shared/contracts/endpoint.ts';

export type Fetch = typeof globalThis.fetch;

/** Never used: requests go where the provider's own adapter sends them, with its key. */
const nowhere = { apiKey: 'unused', baseURL: 'https://provider.invalid' };

/**
 * The model of a provider as the AI SDK knows it: it writes requests and reads answers, and sends nothing by itself. A
 * package is loaded when the first call needs it.
 */
export async function openModel(dialect: Dialect, model: string, fetch: Fetch): Promise<LanguageModelV4> {
  switch (dialect) {
    case 'openai': {
      const { createOpenAI } = await import('@ai-sdk/openai');
      return createOpenAI({ ...nowhere, fetch }).chat(model);
    }
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
