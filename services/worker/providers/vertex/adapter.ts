import { methodOf } from '../gemini/method-of.ts';
import { geminiWire } from '../gemini/wire.ts';
import type { ProviderAdapter } from '../provider-adapter.ts';
import { withoutSlash } from '../versioned-url.ts';

/** Vertex AI: Gemini's dialect, under a project and a location, with an access token. */
export const vertexAdapter: ProviderAdapter = {
  wire: geminiWire,
  address(call, { base_url, project, location }, { secret }) {
    const place = `projects/${project}/locations/${location}/publishers/google`;
    return {
      url: `${withoutSlash(base_url)}/v1/${place}/models/${encodeURIComponent(call.model)}${methodOf(call)}`,
      headers: { ...call.headers, authorization: `Bearer ${secret}` },
      body: call.body,
    };
  },
};
