import type { ProviderAdapter } from '../provider-adapter.ts';
import { versionedUrl } from '../versioned-url.ts';
import { openaiWire } from './wire.ts';

/** What asks for usage, for a host that tells it by itself and refuses to be asked. */
function withoutStreamOptions(body: string): string {
  const { stream_options: _asked, ...rest } = JSON.parse(body) as Record<string, unknown>;
  return JSON.stringify(rest);
}

/** OpenAI, and every host that speaks its dialect. */
export const openaiAdapter: ProviderAdapter = {
  wire: openaiWire,
  address: ({ operation, stream, headers, body }, settings, { secret }) => ({
    url: versionedUrl(settings, operation),
    headers: { ...headers, authorization: `Bearer ${secret}` },
    body: stream && settings.stream_usage === 'always' ? withoutStreamOptions(body) : body,
  }),
};
