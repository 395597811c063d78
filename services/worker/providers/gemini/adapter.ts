import type { ProviderAdapter } from '../provider-adapter.ts';
import { withoutSlash } from '../versioned-url.ts';
import { methodOf } from './method-of.ts';
import { geminiWire } from './wire.ts';

/** Google AI Studio. */
export const geminiAdapter: ProviderAdapter = {
  wire: geminiWire,
  address(call, { base_url }, { secret }) {
    const base = withoutSlash(base_url);
    const root = /\/v1(beta|alpha)?$/.test(base) ? base : `${base}/v1beta`;
    return {
      url: `${root}/models/${encodeURIComponent(call.model)}${methodOf(call)}`,
      headers: { ...call.headers, 'x-goog-api-key': secret },
      body: call.body,
    };
  },
};
