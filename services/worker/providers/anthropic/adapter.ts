import type { ProviderAdapter } from '../provider-adapter.ts';
import { versionedUrl } from '../versioned-url.ts';
import { anthropicWire } from './wire.ts';

/** Version sent when the caller names none. */
const defaultVersion = '2023-06-01';

export const anthropicAdapter: ProviderAdapter = {
  wire: anthropicWire,
  address: ({ operation, headers, body }, settings, { secret }) => ({
    url: versionedUrl(settings, operation),
    headers: { 'anthropic-version': defaultVersion, ...headers, 'x-api-key': secret },
    body,
  }),
};
