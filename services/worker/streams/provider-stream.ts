import type { Endpoint, Operation } from '#shared/contracts/endpoint.ts';
import { errorEvent } from '#shared/contracts/error-body.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { AttemptResult, Unanswered } from '../attempt-result.ts';
import { classifyFailure } from '../failures/classify.ts';
import type { BodySink, ProviderResponse } from '../http/provider-client.ts';
import { wireOf } from '../providers/adapters.ts';
import { errorEventOf } from '../translate/error-answer.ts';
import type { StreamTranslation } from '../translate/stream-translation.ts';
import { StreamInvalid } from './stream-invalid.ts';
import type { StreamRelay } from './stream-relay.ts';

const eventStream = /^text\/event-stream\b/i;

export interface ProviderStreamOptions {
  endpoint: Endpoint;
  /** What the provider was asked: the endpoint, but for a call that is translated. */
  operation: Operation;
  jobId: string;
  relay: StreamRelay;
  /** Set when the caller's dialect is another one: what the relay passes on goes there. */
  translation: StreamTranslation | undefined;
  /** Input tokens of the call by our own count. */
  estimatedInput: number;
  eventMaxBytes: number;
}

/** A streamed attempt: where the body of the provider's answer goes, and what came of it in the end. */
export class ProviderStream implements BodySink {
  readonly #options: ProviderStreamOptions;
  #head: Omit<ProviderResponse, 'body'> | undefined;

  constructor(options: ProviderStreamOptions) {
    this.#options = options;
  }

  get eventMaxBytes(): number {
    return this.#options.eventMaxBytes;
  }

  /** Whether the provider answered with a stream at all. */
  get took(): boolean {
    return this.#head !== undefined;
  }

  wants(status: number, headers: Record<string, string>): boolean {
    if (status !== 200 || !eventStream.test(headers['content-type'] ?? '')) return false;
    this.#head = { status, headers };
    this.translation?.open();
    return true;
  }

  push(piece: Buffer): boolean {
    return this.#options.relay.push(piece);
  }

  get translation(): StreamTranslation | undefined {
    return this.#options.translation;
  }

  /** Whether the caller was given anything. */
  get #begun(): boolean {
    return this.translation ? this.translation.begun : this.#options.relay.begun;
  }

  /** All that the caller was given. */
  get #passed(): Buffer {
    return this.translation ? this.translation.body : this.#options.relay.body;
  }

  /** Reads what is left when the body has ended: a last event without its blank line. @throws StreamInvalid */
  readRest(): void {
    const { relay } = this.#options;
    if (!relay.finished && !relay.error) relay.end();
  }

  /** The result of a stream that ended as streams end. @throws StreamInvalid */
  ended(nowMs: number): AttemptResult {
    const { relay } = this.#options;
    this.readRest();
    if (relay.error) return this.#begun ? this.#cutByProvider() : this.#refused(nowMs);
    if (!relay.begun) throw new StreamInvalid('an empty stream');
    if (relay.finished) return this.#answered();
    return this.#cutWith('provider_stream_cut', 'ended before the answer was whole');
  }

  /** The result of a stream that broke; undefined when nothing of it was passed on. */
  broken({ code, reason }: Unanswered): AttemptResult | undefined {
    const { relay } = this.#options;
    if (!this.#begun) return undefined;
    if (relay.finished) return this.#answered();
    return this.#cutWith(code === 'cancelled' ? code : 'provider_stream_cut', reason);
  }

  #answered(): AttemptResult {
    const { relay, estimatedInput, translation } = this.#options;
    if (translation && !translation.finish()) return this.#untranslated(translation);
    const response = { ...this.#head!, body: this.#passed };
    return { kind: 'answered', response, usage: relay.usage(estimatedInput), streamed: true };
  }

  /** @throws StreamInvalid when the caller was given nothing yet */
  #untranslated({ begun, failed = 'it has no end' }: StreamTranslation): AttemptResult {
    if (!begun) throw new StreamInvalid(failed);
    return this.#cutWith('provider_stream_cut', failed);
  }

  /** The caller was passed the error event itself, if it is one of its own dialect. */
  #cutByProvider(): AttemptResult {
    const { endpoint, jobId, relay, translation } = this.#options;
    const error = relay.error!;
    const event = translation && errorEventOf(endpoint, statusOf(error), error, jobId);
    return this.#cut(event, 'error event', null);
  }

  #cutWith(code: 'provider_stream_cut' | 'cancelled', reason: string): AttemptResult {
    const { endpoint, jobId } = this.#options;
    const error = new SluiceError(code, { fields: { reason } });
    return this.#cut(Buffer.from(errorEvent(endpoint, error, jobId)), reason, code);
  }

  #cut(
    lastEvent: Buffer | undefined,
    reason: string,
    code: 'provider_stream_cut' | 'cancelled' | null,
  ): AttemptResult {
    const { relay, estimatedInput } = this.#options;
    const body = lastEvent ? Buffer.concat([this.#passed, lastEvent]) : this.#passed;
    return {
      kind: 'cut',
      response: { ...this.#head!, body },
      usage: relay.usage(estimatedInput),
      reason,
      code,
    };
  }

  /** A provider that fails with its first event has refused, whatever its status line said. */
  #refused(nowMs: number): AttemptResult {
    const { relay, operation } = this.#options;
    const error = relay.error!;
    const body = wireOf(operation).errorBody(error);
    const status = statusOf(error);
    const headers = { ...this.#head!.headers, 'content-type': 'application/json' };
    const response = { status, headers, body: Buffer.from(JSON.stringify(body)) };
    return { kind: 'refused', response, ...classifyFailure({ status, headers, body, nowMs }) };
  }
}

const statusByName: Record<string, number> = {
  overloaded_error: 529,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  invalid_request_error: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  timeout_error: 504,
  throttlingException: 429,
  validationException: 400,
  modelStreamErrorException: 424,
  modelTimeoutException: 408,
  serviceUnavailableException: 503,
};

/** The status that the error would have had, had it come before the stream. */
function statusOf({ type, code, status }: Record<string, unknown>): number {
  if (typeof status === 'number' && status >= 400 && status < 600) return status;
  if (typeof code === 'number' && code >= 400 && code < 600) return code;
  return statusByName[String(code)] ?? statusByName[String(type)] ?? 500;
}
