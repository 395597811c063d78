import { googleQuotas } from './google-quotas.ts';
import { retryAfterMs } from './retry-after.ts';

/**
 * Why a provider did not do the work. `quota`: a rate limit of ours is used up. `ramp`: we grew too fast.
 * `capacity`: the provider is short of machines. `billing`: money or a spend limit. `oversize`: larger than the whole
 * limit. `concurrency`: too many at once. `server`: its fault. `rejected`: ours, and final.
 */
export type FailureClass =
  | 'quota'
  | 'ramp'
  | 'capacity'
  | 'billing'
  | 'oversize'
  | 'concurrency'
  | 'server'
  | 'rejected';

export interface ProviderFailure {
  class: FailureClass;
  /** Whether asking again later can help. */
  retryable: boolean;
  /** Whether the request counts as an attempt (quota refusals do not: the job just waits). */
  countsAsAttempt: boolean;
  /** When the provider wants to be asked again, milliseconds from now; undefined when it does not say. */
  retryAfterMs: number | undefined;
}

export interface FailedResponse {
  status: number;
  headers: Record<string, string>;
  /** Parsed body, or undefined when it is not a JSON object. */
  body: Record<string, unknown> | undefined;
  /** Wall clock, for Retry-After dates. */
  nowMs: number;
}

interface ErrorParts {
  type: string;
  code: string;
  message: string;
  detailCode: string;
  /** The limits that a Google error names. */
  quotaIds: string[];
  /** The kind of an AWS error. */
  awsType: string;
  /** What the model behind an AWS error answered. */
  originalStatus: number | undefined;
}

const text = (value: unknown) =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : '';

function partsOf({ body, headers }: FailedResponse): ErrorParts {
  const error = (
    typeof body?.error === 'object' && body.error !== null ? body.error : (body ?? {})
  ) as Record<string, unknown>;
  const details = (
    typeof error.details === 'object' && error.details !== null ? error.details : {}
  ) as Record<string, unknown>;
  return {
    type: text(error.type),
    code: text(error.code),
    message: text(error.message),
    detailCode: text(details.error_code),
    quotaIds: googleQuotas(body),
    // Some names are followed by a colon and where they are described, others begin with where they are defined.
    awsType: (headers['x-amzn-errortype'] ?? text(body?.__type)).replace(/:.*$/, '').replace(/^.*#/, ''),
    originalStatus: typeof body?.originalStatusCode === 'number' ? body.originalStatusCode : undefined,
  };
}

const billingCodes = new Set([
  'insufficient_quota',
  'credit_balance_exhausted',
  'organization_spend_limit_exceeded',
  'project_spend_limit_exceeded',
  'organization_usage_limit_exceeded',
  'enforced_spend_limit_reached',
]);
const spendLimit = /^You have reached your (specified )?(workspace )?API usage limits/;
const retryableStatuses = new Set([408, 409, 500, 502, 503, 504, 529]);

function classOf429(error: ErrorParts): FailureClass {
  if (error.awsType === 'ModelNotReadyException') return 'capacity';
  // What AWS calls too many tokens is a rate, and what it calls account quotas too.
  if (error.awsType === 'throttlingException' || error.awsType === 'ThrottlingException') return 'quota';
  if (
    error.type === 'insufficient_quota' ||
    billingCodes.has(error.code) ||
    billingCodes.has(error.detailCode)
  )
    return 'billing';
  if (spendLimit.test(error.message)) return 'billing';
  if (/^Request too large/.test(error.message)) return 'oversize';
  if (error.code === 'slow_down' || /acceleration limit|increased too sharply/i.test(error.message))
    return 'ramp';
  if (error.code === 'queue_exceeded' || /high demand|Resource Unavailable/i.test(error.message))
    return 'capacity';
  // Vertex AI shares what it has among all customers: a refusal that names no quota is a want of machines.
  if (error.code === '429' && /error-code-429/.test(error.message) && error.quotaIds.length === 0)
    return 'capacity';
  // Cohere's trial keys end with the month, which no wait helps with.
  if (/API calls \/ month/i.test(error.message)) return 'billing';
  if (/concurren/i.test(`${error.code} ${error.message}`)) return 'concurrency';
  return 'quota';
}

function classOf(status: number, error: ErrorParts): FailureClass {
  if (status === 429) return classOf429(error);
  // The model behind Bedrock failed: its own status tells whether the request was at fault.
  if (status === 424) return classOfModelError(error);
  // A spend limit that its owner set is a 400 at Anthropic.
  if (status === 402 || (status === 400 && spendLimit.test(error.message))) return 'billing';
  if (status === 413) return 'oversize';
  if (status === 503 || status === 529) return 'capacity';
  return retryableStatuses.has(status) ? 'server' : 'rejected';
}

function classOfModelError({ awsType, originalStatus }: ErrorParts): FailureClass {
  if (!/^modelStreamErrorException$|^ModelErrorException$/i.test(awsType)) return 'rejected';
  const isOurs =
    originalStatus !== undefined &&
    originalStatus >= 400 &&
    originalStatus < 500 &&
    ![408, 429].includes(originalStatus);
  return isOurs ? 'rejected' : 'server';
}

const neverRetried = new Set<FailureClass>(['billing', 'oversize', 'rejected']);
const notAttempts = new Set<FailureClass>(['quota', 'ramp', 'concurrency']);

/** Says what an answer other than 2xx means (sources: the error tables of the providers' own documentation). */
export function classifyFailure(response: FailedResponse): ProviderFailure {
  const error = partsOf(response);
  const failure = classOf(response.status, error);
  return {
    class: failure,
    retryable: !neverRetried.has(failure),
    countsAsAttempt: !notAttempts.has(failure),
    retryAfterMs: retryAfterMs(response.headers, response.body, error.message, response.nowMs),
  };
}
