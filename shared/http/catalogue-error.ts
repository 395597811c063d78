import type { FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { SluiceError } from '#shared/kernel/errors.ts';

/** The first thing wrong with a query, as one sentence. */
function invalidQuery(error: unknown): SluiceError | undefined {
  if (!hasZodFastifySchemaValidationErrors(error)) return undefined;
  const [issue] = error.validation;
  const param = issue?.instancePath.split('/').filter(Boolean).join('.');
  return new SluiceError('invalid_request', {
    fields: { reason: `${param || 'The query'}: ${issue?.message ?? 'not valid'}` },
    ...(param ? { param } : {}),
  });
}

export const notHttp = (cause: unknown) =>
  new SluiceError('invalid_request', { fields: { reason: 'The request is not valid HTTP.' }, cause });

/** What Fastify's own errors mean in our catalogue. */
export function catalogued(error: unknown, request: FastifyRequest): SluiceError {
  if (error instanceof SluiceError) return error;
  const code = (error as { code?: string }).code ?? '';
  const status = (error as { statusCode?: number }).statusCode ?? 500;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new SluiceError('body_too_large', { fields: { limit: request.routeOptions.bodyLimit } });
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new SluiceError('unsupported_media_type');
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY')
    return new SluiceError('invalid_json', { fields: { reason: 'it is empty' } });
  const query = invalidQuery(error);
  if (query) return query;
  if (status >= 400 && status < 500) return notHttp(error);
  return new SluiceError('internal', { fields: { request: request.id }, cause: error });
}
