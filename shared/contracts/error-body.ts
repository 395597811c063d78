import { SluiceError } from '#shared/kernel/errors.ts';
import { type Dialect, type Endpoint, endpointDialect } from './endpoint.ts';

/** JSON text of an error in the shape the caller's SDK understands. `id` is the request or job it belongs to. */
export function errorBody(dialect: Dialect, error: SluiceError, id: string): string {
  const { type, anthropicType } = error.entry;
  if (dialect === 'anthropic') {
    return JSON.stringify({
      type: 'error',
      error: { type: anthropicType, message: error.message, code: error.code, ...extras(error) },
      request_id: id,
    });
  }
  if (dialect === 'gemini') return JSON.stringify({ error: googleError(error, id) });
  return JSON.stringify({
    ...outerExtras(error),
    error: { message: error.message, type, param: error.param ?? null, code: error.code, ...extras(error) },
  });
}

/** Google's canonical names of errors, by HTTP status. */
const googleStatuses: Record<number, string> = {
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'ABORTED',
  429: 'RESOURCE_EXHAUSTED',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

function googleError(error: SluiceError, id: string): Record<string, unknown> {
  const { status } = error.entry;
  const rpc = (name: string, fields: object) => ({
    '@type': `type.googleapis.com/google.rpc.${name}`,
    ...fields,
  });
  const metadata = Object.fromEntries(
    Object.entries(extras(error)).map(([key, value]) => [key, String(value)]),
  );
  const delay = { retryDelay: `${(error.retryAfterMs ?? 0) / 1_000}s` };
  return {
    code: status,
    message: error.message,
    status: googleStatuses[status] ?? (status < 500 ? 'INVALID_ARGUMENT' : 'INTERNAL'),
    details: [
      rpc('ErrorInfo', { reason: error.code, domain: 'sluice', metadata }),
      rpc('RequestInfo', { requestId: id }),
      ...(error.retryAfterMs === undefined ? [] : [rpc('RetryInfo', delay)]),
    ],
  };
}

/** An error inside a stream that has begun, as the SDKs of the endpoint's dialect expect it. */
export function errorEvent(endpoint: Endpoint, error: SluiceError, id: string): string {
  return wrapError(endpoint, errorBody(endpointDialect[endpoint], error, id));
}

/** The same for an error that is stored as the whole answer of its job, perhaps in the provider's own words. */
export function wholeErrorEvent(endpoint: Endpoint, body: string, id: string): string {
  try {
    return wrapError(endpoint, JSON.stringify(JSON.parse(body)));
  } catch {
    const fields = { reason: 'its answer is not JSON' };
    return errorEvent(endpoint, new SluiceError('provider_invalid_response', { fields }), id);
  }
}

/** `body`: one line of JSON in the shape of the dialect. */
function wrapError(endpoint: Endpoint, body: string): string {
  if (endpointDialect[endpoint] === 'anthropic') return `event: error\ndata: ${body}\n\n`;
  if (endpoint !== '/v1/responses') return `data: ${body}\n\n`;
  const { error } = JSON.parse(body) as { error?: object };
  return `event: error\ndata: ${JSON.stringify({ type: 'error', ...error, error })}\n\n`;
}

/** Where clients of other gateways look for the kind of a 429. */
function outerExtras({ code, entry: { status } }: SluiceError): Record<string, unknown> {
  return status === 429 ? { type: code, status_code: status } : {};
}

/** What a 429 of ours adds: how much there is, how much is used, and when to come back. */
function extras(error: SluiceError): Record<string, unknown> {
  if (error.entry.status !== 429) return {};
  return { ...error.fields, retry_after_ms: error.retryAfterMs ?? null };
}

/** RFC 9457 problem details, for Sluice's own routes. */
export function problemBody(error: SluiceError, id: string): string {
  return JSON.stringify({
    type: `urn:sluice:error:${error.code}`,
    title: error.message,
    status: error.entry.status,
    code: error.code,
    ...(error.param ? { param: error.param } : {}),
    ...extras(error),
    request_id: id,
  });
}
