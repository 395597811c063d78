import { Agent, request } from 'undici';
import type { Settings } from '#config/schema.ts';
import { refusalOf } from '#shared/deliveries/url-policy.ts';
import { guardedLookup, type Resolve, systemResolve } from './address-guard.ts';

export type ReceiptError = 'refused_address' | 'bad_certificate' | 'timeout' | 'unreachable';

/** What a receiver answered, or why there is no answer. */
export type Receipt =
  | { status: number; retryAfter: string | undefined }
  | { status: null; error: ReceiptError };

const keepAliveMs = 10_000;
const headerMaxBytes = 16_384;
/** What Node and OpenSSL call a certificate that is of another name, of nobody who is trusted, or not valid now. */
const certificateCodes =
  /^(ERR_TLS_CERT_|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_(CA|PURPOSE)|PATH_LENGTH_|HOSTNAME_MISMATCH)/;
const timeoutCodes = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);

/**
 * Sends messages to receivers, who are strangers: only to public addresses (unless the configuration allows private
 * ones), without following redirects, bounded in time and size. Nothing of an answer is kept but its status.
 */
export class ReceiverClient {
  readonly #agent: Agent;
  readonly #settings: Settings['webhooks'];

  constructor(settings: Settings['webhooks'], resolve: Resolve = systemResolve, authorities?: string[]) {
    this.#settings = settings;
    this.#agent = new Agent({
      connections: settings.endpoint_concurrency,
      pipelining: 1,
      allowH2: false,
      connect: {
        timeout: settings.connect_timeout_ms,
        ...(authorities ? { ca: authorities } : {}),
        ...(settings.allow_private ? {} : { lookup: guardedLookup(resolve) }),
      },
      headersTimeout: settings.attempt_timeout_ms,
      bodyTimeout: settings.attempt_timeout_ms,
      maxHeaderSize: headerMaxBytes,
      keepAliveTimeout: keepAliveMs,
    });
  }

  async send(url: string, headers: Record<string, string>, body: string): Promise<Receipt> {
    // A look-up is made for names only: an address in the URL is judged here. The policy may be newer than the endpoint.
    if (refusalOf(url, this.#settings)) return { status: null, error: 'refused_address' };
    const signal = AbortSignal.timeout(this.#settings.attempt_timeout_ms);
    try {
      const response = await request(url, {
        dispatcher: this.#agent,
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json', 'user-agent': 'Sluice-Webhooks/1' },
        body,
        signal,
      });
      // The status is the receipt. Its body only has to go, so that the connection can be used again.
      await response.body
        .dump({ limit: this.#settings.response_max_bytes, signal })
        .catch(() => response.body.destroy());
      const { 'retry-after': retryAfter } = response.headers;
      return {
        status: response.statusCode,
        retryAfter: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
      };
    } catch (error) {
      return { status: null, error: failureOf(error, signal) };
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}

function failureOf(error: unknown, signal: AbortSignal): ReceiptError {
  const code = (error as { code?: string }).code ?? '';
  if (code === 'ADDRESS_REFUSED') return 'refused_address';
  if (certificateCodes.test(code)) return 'bad_certificate';
  return signal.aborted || timeoutCodes.has(code) ? 'timeout' : 'unreachable';
}
