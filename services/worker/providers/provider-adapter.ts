import type { ProviderSettings } from '#config/schema.ts';
import type { Operation } from '#shared/contracts/endpoint.ts';
import type { WireFormat } from './wire-format.ts';

/** A call in the wire format of its provider, before it is known where it goes. */
export interface OutgoingCall {
  operation: Operation;
  /** Model as the provider knows it. */
  model: string;
  /** JSON text. */
  body: string;
  /** Whether the answer is to be streamed. */
  stream: boolean;
  /** Headers that go along: those of the caller that a provider understands, and the type of the body. */
  headers: Record<string, string>;
}

/** What the credential of a call is at the moment of its sending. */
export interface SendingKey {
  /** `api_key` of the configuration, or the access token that was made with it. */
  secret: string;
  /** Wall clock, for signatures. */
  nowMs: number;
}

/** A call as it is sent. */
export interface AddressedCall {
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** Turns the bytes of a provider's own framing into server-sent events. Keeps what belongs to no whole event yet. */
export interface StreamDecoder {
  /** @throws StreamInvalid */
  push(piece: Buffer): Buffer;
}

/** One kind of provider: where its calls go, and how they prove who sends them. Pure: no input, no output, no clock. */
export interface ProviderAdapter {
  wire: WireFormat;
  /** The call with its address, its key and its signature. `call.headers` go along. */
  address(
    call: OutgoingCall,
    settings: ProviderSettings,
    key: SendingKey,
  ): AddressedCall | Promise<AddressedCall>;
  /** How a stream is framed, where it is not sent as server-sent events; no event is longer than `maxBytes`. */
  framing?: { contentType: string; decoder: (maxBytes: number) => StreamDecoder };
}
