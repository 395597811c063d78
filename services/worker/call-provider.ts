import type { ProviderSettings } from '#config/schema.ts';
import type { BegunJob } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { ErrorCode } from '#shared/kernel/error-catalog.ts';
import type { AttemptResult, Unanswered } from './attempt-result.ts';
import { classifyFailure } from './failures/classify.ts';
import type { ProviderClient, ProviderResponse } from './http/provider-client.ts';
import { TransportError, type TransportFailure } from './http/transport-error.ts';
import { wireOf } from './providers/adapters.ts';
import { sendCall } from './send-call.ts';
import type { ProviderStream } from './streams/provider-stream.ts';
import { StreamInvalid } from './streams/stream-invalid.ts';

export interface ProviderCall {
  job: BegunJob;
  jobId: string;
  settings: ProviderSettings;
  apiKey: string;
  signal: AbortSignal;
  /** Set when the job is streamed: takes the answer while it comes. */
  stream: ProviderStream | undefined;
}

const transportCodes: Record<TransportFailure, ErrorCode> = {
  notSent: 'provider_unreachable',
  timeout: 'provider_timeout',
  broken: 'provider_unreachable',
  tooLarge: 'provider_invalid_response',
  aborted: 'cancelled',
};

/** A JSON object, or undefined for anything else. */
function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Makes one provider request and says what came of it; never throws for what a provider does. */
export async function callProvider(
  client: ProviderClient,
  clock: Clock,
  call: ProviderCall,
): Promise<AttemptResult> {
  const { stream } = call;
  try {
    const response = await send(client, clock, call);
    return stream?.took ? stream.ended(clock.nowMs()) : judge(response, call, clock.nowMs());
  } catch (error) {
    const failure = failureOf(error);
    return stream?.broken(failure) ?? failure;
  }
}

/** @throws what is no fault of the provider */
function failureOf(error: unknown): Unanswered {
  if (error instanceof StreamInvalid)
    return { kind: 'invalid', reason: error.message, code: 'provider_invalid_response' };
  if (!(error instanceof TransportError)) throw error;
  const { failure, message } = error;
  return { kind: 'unanswered', failure, reason: message, code: transportCodes[failure] };
}

/** The caller's endpoint is an operation of the provider: what it asked is sent as it is. */
function send(client: ProviderClient, clock: Clock, call: ProviderCall): Promise<ProviderResponse> {
  const { job, jobId, settings, apiKey, signal, stream } = call;
  const { endpoint: operation, model, body, headers } = job;
  return sendCall(client, clock, {
    call: { operation, model, body, headers, stream: job.stream !== undefined },
    settings,
    apiKey,
    attemptId: `${jobId}/${job.attempt}`,
    signal,
    sink: stream,
  });
}

function judge(response: ProviderResponse, { job }: ProviderCall, nowMs: number): AttemptResult {
  const body = parseObject(response.body);
  if (response.status < 200 || response.status > 299) {
    return { kind: 'refused', response, ...classifyFailure({ ...response, body, nowMs }) };
  }
  const wire = wireOf(job.endpoint);
  if (!body) return { kind: 'invalid', reason: 'not a JSON object', code: 'provider_invalid_response' };
  if (!wire.isAnswer(job.endpoint, body)) {
    return { kind: 'invalid', reason: 'not an answer of this endpoint', code: 'provider_invalid_response' };
  }
  return { kind: 'answered', response, usage: wire.readUsage(body) };
}
