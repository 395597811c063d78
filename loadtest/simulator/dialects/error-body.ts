import type { Dialect } from './endpoint.ts';

/** An error as it goes out, before headers. */
export interface ErrorReply {
  status: number;
  body: unknown;
}

export type RefusalKind = 'quota' | 'ramp' | 'capacity' | 'billing' | 'oversize' | 'concurrency';

/** The type that each dialect gives to a status. */
const openaiTypes: Record<number, string> = {
  401: 'invalid_request_error',
  402: 'insufficient_quota',
  403: 'permission_error',
  429: 'requests',
  503: 'service_unavailable_error',
};
const anthropicTypes: Record<number, string> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  409: 'conflict_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};
const openaiCodes: Record<number, string> = {
  401: 'invalid_api_key',
  404: 'model_not_found',
  429: 'rate_limit_exceeded',
  503: 'server_is_overloaded',
};

export function openaiError(
  message: string,
  type: string,
  code: string | null = null,
  param: string | null = null,
): unknown {
  return { error: { message, type, param, code } };
}

export function anthropicError(message: string, type: string, requestId: string, details?: unknown): unknown {
  const error = details === undefined ? { type, message } : { type, message, details };
  return { type: 'error', error, request_id: requestId };
}

/** The body with which `dialect` reports `status`. */
export function errorBody(dialect: Dialect, status: number, message: string, requestId: string): unknown {
  const fallback = status >= 500 ? undefined : 'invalid_request_error';
  if (dialect === 'anthropic') {
    return anthropicError(message, anthropicTypes[status] ?? fallback ?? 'api_error', requestId);
  }
  return openaiError(message, openaiTypes[status] ?? fallback ?? 'server_error', openaiCodes[status] ?? null);
}

export function unauthorized(dialect: Dialect, key: string | undefined, requestId: string): ErrorReply {
  if (dialect === 'anthropic') {
    const message = key === undefined ? 'x-api-key header is required' : 'invalid x-api-key';
    return { status: 401, body: anthropicError(message, 'authentication_error', requestId) };
  }
  const message =
    key === undefined
      ? "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
      : `Incorrect API key provided: ***${key.slice(-4)}. You can find your API key at https://platform.openai.com/account/api-keys.`;
  const code = key === undefined ? null : 'invalid_api_key';
  return { status: 401, body: openaiError(message, 'invalid_request_error', code) };
}

export function unknownModel(dialect: Dialect, model: string, requestId: string): ErrorReply {
  if (dialect === 'anthropic') {
    return { status: 404, body: anthropicError(`model: ${model}`, 'not_found_error', requestId) };
  }
  const message = `The model \`${model}\` does not exist or you do not have access to it.`;
  return { status: 404, body: openaiError(message, 'invalid_request_error', 'model_not_found') };
}

export function invalidRequest(
  dialect: Dialect,
  message: string,
  param: string | null,
  requestId: string,
): ErrorReply {
  const type = 'invalid_request_error';
  const body =
    dialect === 'anthropic'
      ? anthropicError(message, type, requestId)
      : openaiError(message, type, param === null ? null : 'invalid_value', param);
  return { status: 400, body };
}
