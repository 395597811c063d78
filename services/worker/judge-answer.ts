import type { Operation } from '#shared/contracts/endpoint.ts';
import type { ErrorCode } from '#shared/kernel/error-catalog.ts';
import type { AttemptResult, Unanswered } from './attempt-result.ts';
import { classifyFailure } from './failures/classify.ts';
import type { ProviderResponse } from './http/provider-client.ts';
import { TransportError, type TransportFailure } from './http/transport-error.ts';
import { wireOf } from './providers/adapters.ts';
import { StreamInvalid } from './streams/stream-invalid.ts';

const transportCodes: Record<TransportFailure, ErrorCode> = {
  notSent: 'provider_unreachable',
  timeout: 'provider_timeout',
  broken: 'provider_unreachable',
  tooLarge: 'provider_invalid_response',
  aborted: 'cancelled',
};

/** A JSON object, or undefined for anything else. */
export function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** @throws what is no fault of the provider */
export function failureOf(error: unknown): Unanswered {
  if (error instanceof StreamInvalid)
    return { kind: 'invalid', reason: error.message, code: 'provider_invalid_response' };
  if (!(error instanceof TransportError)) throw error;
  const { failure, message } = error;
  return { kind: 'unanswered', failure, reason: message, code: transportCodes[failure] };
}

/** What an answer that came whole means. */
export function judgeAnswer(response: ProviderResponse, operation: Operation, nowMs: number): AttemptResult {
  const body = parseObject(response.body);
  if (response.status < 200 || response.status > 299) {
    return { kind: 'refused', response, ...classifyFailure({ ...response, body, nowMs }) };
  }
  const wire = wireOf(operation);
  if (!body) return { kind: 'invalid', reason: 'not a JSON object', code: 'provider_invalid_response' };
  if (!wire.isAnswer(operation, body)) {
    return { kind: 'invalid', reason: 'not an answer of this endpoint', code: 'provider_invalid_response' };
  }
  return { kind: 'answered', response, usage: wire.readUsage(body) };
}
