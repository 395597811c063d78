import type { SluiceError } from '#shared/kernel/errors.ts';
import type { Dialect } from './endpoint.ts';

/** JSON text of an error in the shape the caller's SDK understands. `id` is the request or job it belongs to. */
export function errorBody(dialect: Dialect, error: SluiceError, id: string): string {
  const { type, anthropicType } = error.entry;
  if (dialect === 'anthropic') {
    return JSON.stringify({
      type: 'error',
      error: { type: anthropicType, message: error.message, code: error.code },
      request_id: id,
    });
  }
  return JSON.stringify({
    error: { message: error.message, type, param: error.param ?? null, code: error.code, ...extras(error) },
  });
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
