import type { ProviderSettings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { BodySink, ProviderClient, ProviderResponse } from './http/provider-client.ts';
import { adapterOf } from './providers/adapters.ts';
import type { OutgoingCall, ProviderAdapter } from './providers/provider-adapter.ts';

export interface Sending {
  call: OutgoingCall;
  settings: ProviderSettings;
  apiKey: string;
  /** Our own id of the attempt, for the log of the provider. */
  attemptId: string;
  signal: AbortSignal;
  /** Takes a streamed answer while it comes, as server-sent events whatever the provider's framing. */
  sink: BodySink | undefined;
}

/**
 * Sends one call, in the wire format of its provider, and returns the answer as it came.
 *
 * @throws TransportError when there is no complete answer
 */
export async function sendCall(
  client: ProviderClient,
  clock: Clock,
  { call, settings, apiKey, attemptId, signal, sink }: Sending,
): Promise<ProviderResponse> {
  const adapter = adapterOf(settings.dialect);
  const headers = {
    'content-type': 'application/json',
    accept: call.stream ? (adapter.framing?.contentType ?? 'text/event-stream') : 'application/json',
    ...call.headers,
  };
  const secret = settings.dialect === 'vertex' ? await client.tokens.of(apiKey) : apiKey;
  const addressed = await adapter.address({ ...call, headers }, settings, { secret, nowMs: clock.nowMs() });
  // OpenAI documents this header for a caller's own id; it ties a provider's log to our attempt.
  addressed.headers['x-client-request-id'] = attemptId;
  return client.send({ ...addressed, signal }, sink && decodedSink(sink, adapter.framing));
}

function decodedSink(sink: BodySink, framing: ProviderAdapter['framing']): BodySink {
  if (!framing) return sink;
  const decoder = framing.decoder(sink.eventMaxBytes);
  return {
    eventMaxBytes: sink.eventMaxBytes,
    wants: (status, headers) =>
      headers['content-type']?.startsWith(framing.contentType) === true &&
      sink.wants(status, { ...headers, 'content-type': 'text/event-stream' }),
    push: (piece) => sink.push(decoder.push(piece)),
  };
}
