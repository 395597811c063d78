import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { errorBody, problemBody } from '#shared/contracts/error-body.ts';
import { describeError, SluiceError } from '#shared/kernel/errors.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

type Shape = 'openai' | 'anthropic' | 'problem';

function shapeOf(request: FastifyRequest): Shape {
  if (request.url.startsWith('/v1/messages')) return 'anthropic';
  if (request.url.startsWith('/v1/models') && request.headers['anthropic-version'] !== undefined)
    return 'anthropic';
  return request.url.startsWith('/v1/jobs') ? 'problem' : 'openai';
}

/** What Fastify's own errors mean in our catalogue. */
function catalogued(error: unknown, request: FastifyRequest): SluiceError {
  if (error instanceof SluiceError) return error;
  const code = (error as { code?: string }).code ?? '';
  const status = (error as { statusCode?: number }).statusCode ?? 500;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new SluiceError('body_too_large', { fields: { limit: request.routeOptions.bodyLimit } });
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new SluiceError('unsupported_media_type');
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY')
    return new SluiceError('invalid_json', { fields: { reason: 'it is empty' } });
  if (status >= 400 && status < 500)
    return new SluiceError('invalid_request', {
      fields: { reason: 'The request is not valid HTTP.' },
      cause: error,
    });
  return new SluiceError('internal', { fields: { request: request.id }, cause: error });
}

function send(reply: FastifyReply, request: FastifyRequest, error: SluiceError): FastifyReply {
  const shape = shapeOf(request);
  if (error.retryAfterMs !== undefined) {
    reply.header('retry-after', String(Math.ceil(error.retryAfterMs / 1_000)));
    reply.header('retry-after-ms', String(error.retryAfterMs));
  }
  reply
    .header('x-should-retry', String(error.entry.retryable))
    .header('x-request-id', request.id)
    .code(error.entry.status);
  if (shape === 'problem') return reply.type('application/problem+json').send(problemBody(error, request.id));
  return reply.type('application/json').send(errorBody(shape, error, request.id));
}

/** Every error leaves in the shape of its route, with a code of the catalogue and nothing internal. */
export function answerErrors(app: FastifyInstance, metrics: Metrics): void {
  app.setErrorHandler((error, request, reply) => {
    const known = catalogued(error, request);
    metrics.callsRefused.inc({ code: known.code });
    if (known.code === 'internal')
      request.log.error({ reason: describeError(error), stack: (error as Error).stack }, 'internal error');
    return send(reply, request, known);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]!;
    return send(
      reply,
      request,
      new SluiceError('route_not_found', { fields: { method: request.method, path } }),
    );
  });
}
