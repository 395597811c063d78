import type { ProviderSettings } from '#config/schema.ts';
import { endpointDialect } from '#shared/contracts/endpoint.ts';
import type { BegunJob } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { ErrorCode } from '#shared/kernel/error-catalog.ts';
import type { AttemptResult, Unanswered } from './attempt-result.ts';
import { classifyFailure } from './failures/classify.ts';
import {
  type ProviderClient,
  type ProviderResponse,
  TransportError,
  type TransportFailure,
} from './http/provider-client.ts';
import { adapterOf, endpointUrl } from './providers/adapters.ts';
import type { ProviderStream } from './streams/provider-stream.ts';
import { StreamInvalid } from './streams/stream-relay.ts';

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
    const response = await client.send(requestOf(call), stream);
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

function requestOf({ job, jobId, settings, apiKey, signal }: ProviderCall) {
  const adapter = adapterOf(endpointDialect[job.endpoint]);
  return {
    url: endpointUrl(settings.base_url, job.endpoint),
    headers: {
      'content-type': 'application/json',
      accept: job.stream ? 'text/event-stream' : 'application/json',
      ...adapter.authHeaders(apiKey),
      ...job.headers,
      // OpenAI documents this header for a caller's own id; it ties a provider's log to our attempt.
      'x-client-request-id': `${jobId}/${job.attempt}`,
    },
    body: job.body,
    signal,
  };
}

function judge(response: ProviderResponse, { job }: ProviderCall, nowMs: number): AttemptResult {
  const body = parseObject(response.body);
  if (response.status < 200 || response.status > 299) {
    return { kind: 'refused', response, ...classifyFailure({ ...response, body, nowMs }) };
  }
  const adapter = adapterOf(endpointDialect[job.endpoint]);
  if (!body) return { kind: 'invalid', reason: 'not a JSON object', code: 'provider_invalid_response' };
  if (!adapter.isAnswer(job.endpoint, body)) {
    return { kind: 'invalid', reason: 'not an answer of this endpoint', code: 'provider_invalid_response' };
  }
  return { kind: 'answered', response, usage: adapter.readUsage(body) };
}
