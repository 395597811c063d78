import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { problemBody } from '#shared/contracts/error-body.ts';
import { catalogued } from '#shared/http/catalogue-error.ts';
import { describeError, SluiceError } from '#shared/kernel/errors.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

function send(reply: FastifyReply, request: FastifyRequest, error: SluiceError): FastifyReply {
  if (error.retryAfterMs !== undefined)
    reply.header('retry-after', String(Math.ceil(error.retryAfterMs / 1_000)));
  return reply
    .header('x-request-id', request.id)
    .code(error.entry.status)
    .type('application/problem+json')
    .send(problemBody(error, request.id));
}

/** A path that cannot be read reaches no route and no error handler; Fastify asks here instead. */
export function answerUnroutable(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  void send(reply, request, catalogued(error, request));
}

/** Every error leaves as RFC 9457 problem details, with a code of the catalogue and nothing internal. */
export function answerProblems(app: FastifyInstance, metrics: Metrics): void {
  app.setErrorHandler((error, request, reply) => {
    const known = catalogued(error, request);
    metrics.callsRefused.inc({ code: known.code });
    if (known.code === 'internal')
      request.log.error(
        { reqId: request.id, reason: describeError(error), stack: (error as Error).stack },
        'internal error',
      );
    return send(reply, request, known);
  });
  app.setNotFoundHandler((request, reply) => {
    const fields = { method: request.method, path: request.url.split('?')[0]! };
    return send(reply, request, new SluiceError('route_not_found', { fields }));
  });
}
