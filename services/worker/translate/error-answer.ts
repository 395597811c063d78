import { type Dialect, type Endpoint, endpointDialect } from '#shared/contracts/endpoint.ts';
import { wholeErrorEvent } from '#shared/contracts/error-body.ts';

type Fields = Record<string, unknown>;

const anthropicTypes: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

const openaiType = (status: number) => {
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
};

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);

/** What a provider's error says in every dialect: a sentence, and its own name for it. */
function sayingOf(body: unknown): { message: string | undefined; code: string | undefined } {
  const outer = isObject(body) ? body : {};
  const error = isObject(outer.error) ? outer.error : outer;
  return {
    message: textOf(error.message) ?? textOf(outer.message) ?? textOf(outer.error),
    code: textOf(error.code) ?? textOf(error.status) ?? textOf(error.type) ?? textOf(error.__type),
  };
}

const googleStatuses: Record<number, string> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

/** Dialects in which callers speak. */
type Spoken = Extract<Dialect, 'openai' | 'anthropic' | 'gemini'>;

const bodies: Record<Spoken, (status: number, message: string, code: string | undefined) => Fields> = {
  openai: (status, message, code) => ({
    error: { message, type: openaiType(status), param: null, code: code ?? null },
  }),
  anthropic: (status, message) => ({
    type: 'error',
    error: { type: anthropicTypes[status] ?? 'api_error', message },
  }),
  gemini: (status, message) => ({
    error: {
      code: status,
      message,
      status: googleStatuses[status] ?? (status < 500 ? 'INVALID_ARGUMENT' : 'INTERNAL'),
    },
  }),
};

/** A provider's error in the dialect of the caller. `body`: as it was parsed. */
export function errorAnswer(endpoint: Endpoint, status: number, body: unknown): Fields {
  const { message, code } = sayingOf(body);
  const write = bodies[endpointDialect[endpoint] as Spoken];
  return write(status, message ?? `The provider answered with status ${status}.`, code);
}

/** The same inside a stream that has begun. */
export function errorEventOf(endpoint: Endpoint, status: number, body: unknown, jobId: string): Buffer {
  return Buffer.from(wholeErrorEvent(endpoint, JSON.stringify(errorAnswer(endpoint, status, body)), jobId));
}
