import type { ProviderSettings } from '#config/schema.ts';
import { endpointDialect } from '#shared/contracts/endpoint.ts';
import type { Usage } from '#shared/contracts/job.ts';
import type { BegunJob } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { ErrorCode } from '#shared/kernel/error-catalog.ts';
import { classifyFailure, type FailureClass } from './failures/classify.ts';
import {
  type ProviderClient,
  type ProviderResponse,
  TransportError,
  type TransportFailure,
} from './http/provider-client.ts';
import { adapterOf, endpointUrl } from './providers/adapters.ts';

export interface ProviderCall {
  job: BegunJob;
  jobId: string;
  settings: ProviderSettings;
  apiKey: string;
  signal: AbortSignal;
}

/** How one provider request ended. */
export type AttemptResult =
  | { kind: 'answered'; response: ProviderResponse; usage: Usage | undefined }
  | {
      kind: 'refused';
      response: ProviderResponse;
      class: FailureClass;
      retryable: boolean;
      countsAsAttempt: boolean;
      retryAfterMs: number | undefined;
    }
  | { kind: 'invalid'; reason: string; code: ErrorCode }
  | { kind: 'unanswered'; failure: TransportFailure; reason: string; code: ErrorCode };

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
  try {
    return judge(await client.send(requestOf(call)), call, clock.nowMs());
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    return {
      kind: 'unanswered',
      failure: error.failure,
      reason: error.message,
      code: transportCodes[error.failure],
    };
  }
}

function requestOf({ job, jobId, settings, apiKey, signal }: ProviderCall) {
  const adapter = adapterOf(endpointDialect[job.endpoint]);
  return {
    url: endpointUrl(settings.base_url, job.endpoint),
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
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
