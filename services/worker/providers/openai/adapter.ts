import type { ProviderAdapter } from '../provider-adapter.ts';
import { versionedUrl } from '../versioned-url.ts';
import { openaiWire } from './wire.ts';

/** OpenAI, and every host that speaks its dialect. */
export const openaiAdapter: ProviderAdapter = {
  wire: openaiWire,
  address: ({ operation, headers, body }, settings, { secret }) => ({
    url: versionedUrl(settings, operation),
    headers: { ...headers, authorization: `Bearer ${secret}` },
    body,
  }),
};
