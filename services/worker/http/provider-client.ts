import type { Readable } from 'node:stream';
import { Agent, errors, request } from 'undici';
import type { ProviderSettings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { AccessTokens } from './access-tokens.ts';
import { TransportError } from './transport-error.ts';

export interface ProviderRequest {
  url: string;
  headers: Record<string, string>;
  body: string;
  /** Aborts the request when the job is cancelled or its lease is lost. */
  signal: AbortSignal;
}

/** Takes the body of an answer while it comes. */
export interface BodySink {
  /** Longest event it takes. */
  readonly eventMaxBytes: number;
  /** Whether it takes the body of this answer; else the body is gathered. */
  wants(status: number, headers: Record<string, string>): boolean;
  /** A piece of the body; true when nothing that matters follows. What it throws ends the request. */
  push(piece: Buffer): boolean;
}

/** An answer as it came, whatever its status. */
export interface ProviderResponse {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

const notSentCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);
const timeoutCodes = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT']);

function transportError(error: unknown, signal: AbortSignal): TransportError {
  if (error instanceof TransportError) return error;
  const code = (error as { code?: string }).code ?? 'unknown';
  if (signal.aborted)
    return signal.reason instanceof TransportError ? signal.reason : new TransportError('aborted', 'aborted');
  if (error instanceof errors.ResponseExceededMaxSizeError) return new TransportError('tooLarge', code);
  if (notSentCodes.has(code)) return new TransportError('notSent', code);
  return new TransportError(timeoutCodes.has(code) ? 'timeout' : 'broken', code);
}

/** How long a body that has said all may take to end, so that its connection can be used again. */
const lastBytesMs = 1_000;

/** Resolves when the body has ended or the sink has all it wants. The body is never held back. */
function pour(body: Readable, sink: BodySink): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = false;
    const finish = (settle: () => void) => {
      done = true;
      settle();
    };
    body.on('data', (piece: Buffer) => {
      if (done) return;
      try {
        if (!sink.push(piece)) return;
      } catch (error) {
        finish(() => reject(error as Error));
        body.destroy();
        return;
      }
      finish(resolve);
      const late = AbortSignal.timeout(lastBytesMs);
      late.addEventListener('abort', () => body.destroy(), { once: true });
    });
    body.once('end', () => finish(resolve));
    body.on('error', (error) => finish(() => reject(error)));
    body.once('close', () => finish(() => reject(new TransportError('broken', 'closed'))));
  });
}

/** Sends requests to one provider over connections of its own. Never retries: the scheduler is the only retrier. */
export class ProviderClient {
  /** For the providers that take no key itself. */
  readonly tokens: AccessTokens;
  readonly #agent: Agent;
  readonly #timeouts: ProviderSettings['timeouts'];
  readonly #clock: Clock;

  constructor(provider: ProviderSettings, connections: number, clock: Clock) {
    this.#clock = clock;
    this.tokens = new AccessTokens(clock);
    this.#timeouts = provider.timeouts;
    this.#agent = new Agent({
      connections,
      pipelining: 1,
      connect: { timeout: provider.timeouts.connect_ms },
      headersTimeout: provider.timeouts.headers_ms,
      bodyTimeout: provider.timeouts.body_ms,
      maxResponseSize: provider.response_max_bytes,
      keepAliveTimeout: 30_000,
    });
  }

  /**
   * The answer; its body is empty when `sink` took it.
   *
   * @throws TransportError when there is no complete answer
   */
  async send({ url, headers, body, signal }: ProviderRequest, sink?: BodySink): Promise<ProviderResponse> {
    // A signal made of others by AbortSignal.any is several times the price, for every call.
    const bound = new AbortController();
    const stop = () => bound.abort(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    const timer = this.#clock.after(this.#timeouts.total_ms, () =>
      bound.abort(new TransportError('timeout', 'total time-out')),
    );
    try {
      const response = await request(url, {
        dispatcher: this.#agent,
        method: 'POST',
        headers,
        body,
        signal: bound.signal,
      });
      const head = { status: response.statusCode, headers: flatten(response.headers) };
      if (!sink?.wants(head.status, head.headers))
        return { ...head, body: Buffer.from(await response.body.arrayBuffer()) };
      await pour(response.body, sink);
      return { ...head, body: Buffer.alloc(0) };
    } catch (error) {
      throw transportError(error, bound.signal);
    } finally {
      timer.cancel();
      signal.removeEventListener('abort', stop);
    }
  }

  /** Sends nothing more; resolves when the requests under way have ended. */
  close(): Promise<void> {
    return this.#agent.close();
  }

  /** Cuts off what is under way. */
  destroy(): Promise<void> {
    return this.#agent.destroy();
  }
}

function flatten(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return flat;
}
