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

const googleStatuses: Record<number, string> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};
const awsTypes: Record<number, string> = {
  400: 'ValidationException',
  403: 'AccessDeniedException',
  404: 'ResourceNotFoundException',
  408: 'ModelTimeoutException',
  424: 'ModelErrorException',
  429: 'ThrottlingException',
  500: 'InternalServerException',
  503: 'ServiceUnavailableException',
};

export function googleError(code: number, message: string, details?: unknown[]): unknown {
  const status = googleStatuses[code] ?? (code < 500 ? 'INVALID_ARGUMENT' : 'INTERNAL');
  return { error: { code, message, status, ...(details ? { details } : {}) } };
}

/** What AWS names in `x-amzn-errortype`. */
export const awsErrorType = (status: number) => awsTypes[status] ?? 'InternalServerException';

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
  if (dialect === 'gemini') return googleError(status, message);
  if (dialect === 'bedrock') return { message };
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
  if (dialect === 'gemini')
    return { status: 400, body: googleError(400, 'API key not valid. Please pass a valid API key.') };
  if (dialect === 'bedrock')
    return { status: 403, body: { message: 'The security token included in the request is invalid.' } };
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
  if (dialect === 'gemini') {
    const text = `models/${model} is not found for API version v1beta, or is not supported for generateContent.`;
    return { status: 404, body: googleError(404, text) };
  }
  if (dialect === 'bedrock')
    return { status: 404, body: { message: `Could not resolve the foundation model from ${model}.` } };
  const message = `The model \`${model}\` does not exist or you do not have access to it.`;
  return { status: 404, body: openaiError(message, 'invalid_request_error', 'model_not_found') };
}

export function invalidRequest(
  dialect: Dialect,
  message: string,
  param: string | null,
  requestId: string,
): ErrorReply {
  if (dialect === 'gemini' || dialect === 'bedrock')
    return { status: 400, body: errorBody(dialect, 400, message, requestId) };
  const type = 'invalid_request_error';
  const body =
    dialect === 'anthropic'
      ? anthropicError(message, type, requestId)
      : openaiError(message, type, param === null ? null : 'invalid_value', param);
  return { status: 400, body };
}
