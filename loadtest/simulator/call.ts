import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Timer } from '#shared/kernel/clock.ts';
import { readSignature } from './dialects/aws-signature.ts';
import type { Admission } from './limits/limit-book.ts';
import type { Simulation } from './simulation.ts';

const visibleKeyCharacters = 6;

/**
 * One request from its arrival in the log to its end there. It ends exactly once: when its response is complete,
 * when the simulator cuts it off, or when the client goes away.
 */
export class Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer;
  readonly seq: number;
  readonly requestId: string;
  readonly arrivedMs: number;
  /** The API key as sent, or undefined. */
  readonly key: string | undefined;
  readonly clientRequestId: string;
  readonly bodyHash: number;
  readonly #simulation: Simulation;
  #admission: Admission | undefined;
  #outputTokens = 0;
  #timer: Timer | undefined;
  #ended = false;

  constructor(
    simulation: Simulation,
    http: { request: IncomingMessage; response: ServerResponse; body: Buffer },
    about: { path: string; generation: boolean; bodyHash: number },
  ) {
    this.#simulation = simulation;
    this.request = http.request;
    this.response = http.response;
    this.body = http.body;
    this.bodyHash = about.bodyHash;
    this.key = keyOf(http.request);
    this.clientRequestId = headerOf(http.request, 'x-client-request-id') ?? '';
    this.arrivedMs = simulation.nowMs();
    this.seq = simulation.log.append({
      atMs: this.arrivedMs,
      monoMs: simulation.clock.monotonicMs(),
      path: about.path,
      credential: this.key?.slice(-visibleKeyCharacters) ?? '',
      model: '',
      clientRequestId: this.clientRequestId,
      bodyHash: about.bodyHash,
      bodyBytes: http.body.length,
      generation: about.generation,
    });
    this.requestId = `req_${this.seq.toString(16).padStart(24, '0')}`;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** From now on the call occupies what it was admitted to, until it ends. */
  admitted(admission: Admission): void {
    this.#admission = admission;
  }

  produced(outputTokens: number): void {
    this.#outputTokens += outputTokens;
    this.#admission?.produced(this.#simulation.nowMs(), outputTokens);
  }

  /** Runs `step` after `delayMs` unless the call has ended by then. */
  after(delayMs: number, step: () => void): void {
    this.#timer = this.#simulation.clock.after(delayMs, step);
  }

  /** Ends the call when the client goes away first. */
  watchClient(): void {
    this.response.once('close', () => this.end(true));
  }

  end(aborted: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    const nowMs = this.#simulation.nowMs();
    this.#admission?.finish(nowMs, this.#outputTokens);
    this.#simulation.log.finished(this.seq, nowMs, this.#outputTokens, aborted);
  }
}

export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

/** The key in whichever header the dialects carry it. */
function keyOf(request: IncomingMessage): string | undefined {
  const own =
    headerOf(request, 'x-api-key') ?? headerOf(request, 'api-key') ?? headerOf(request, 'x-goog-api-key');
  if (own) return own;
  const { authorization } = request.headers;
  const signature = readSignature(authorization);
  if (signature) return signature.accessKeyId;
  return authorization?.startsWith('Bearer ')
    ? authorization.slice('Bearer '.length) || undefined
    : undefined;
}
