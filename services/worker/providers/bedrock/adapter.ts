import type { ProviderAdapter } from '../provider-adapter.ts';
import { withoutSlash } from '../versioned-url.ts';
import { EventStreamDecoder } from './event-stream-decoder.ts';
import { signRequest } from './sign-request.ts';
import { bedrockWire } from './wire.ts';

/** AWS Bedrock, Converse. */
export const bedrockAdapter: ProviderAdapter = {
  wire: bedrockWire,
  address({ model, stream, headers, body }, { base_url, region }, key) {
    const method = stream ? 'converse-stream' : 'converse';
    const url = `${withoutSlash(base_url)}/model/${encodeURIComponent(model)}/${method}`;
    return signRequest({ url, headers, body }, region!, key);
  },
  framing: {
    contentType: 'application/vnd.amazon.eventstream',
    decoder: (maxBytes) => new EventStreamDecoder(maxBytes),
  },
};
