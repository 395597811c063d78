import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Dialect } from '#shared/contracts/endpoint.ts';
import { errorBody, problemBody } from '#shared/contracts/error-body.ts';
import { catalogued, notHttp } from '#shared/http/catalogue-error.ts';
import { describeError, SluiceError } from '#shared/kernel/errors.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

type Shape = Dialect | 'problem';

const ownRoutes = ['/v1/jobs', '/v1/ws', '/v1/webhook-endpoints', '/readyz', '/healthz'];

function shapeOf(request: FastifyRequest): Shape {
  if (request.url.startsWith('/v1/messages')) return 'anthropic';
  if (request.url.startsWith('/v1beta/')) return 'gemini';
  if (request.url.startsWith('/v1/models') && request.headers['anthropic-version'] !== undefined)
    return 'anthropic';
  return ownRoutes.some((route) => request.url.startsWith(route)) ? 'problem' : 'openai';
}

/** SDKs wait no longer than this by themselves; asked for more patience they come back at once, for nothing. */
const sdkPatienceMs = 60_000;

const isWorthRetrying = ({ entry, retryAfterMs = 0 }: SluiceError) =>
  entry.retryable && retryAfterMs < sdkPatienceMs;

function send(reply: FastifyReply, request: FastifyRequest, error: SluiceError): FastifyReply {
  const shape = shapeOf(request);
  if (error.retryAfterMs !== undefined) {
    reply.header('retry-after', String(Math.ceil(error.retryAfterMs / 1_000)));
    reply.header('retry-after-ms', String(error.retryAfterMs));
  }
  reply
    .header('x-should-retry', String(isWorthRetrying(error)))
    .header('x-request-id', request.id)
    .code(error.entry.status);
  if (shape === 'problem') return reply.type('application/problem+json').send(problemBody(error, request.id));
  return reply.type('application/json').send(errorBody(shape, error, request.id));
}

/** A path that cannot be read reaches no route and no error handler; Fastify asks here instead. */
export function answerUnroutable(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  void send(reply, request, catalogued(error, request));
}

const clientErrorStatus: Record<string, number> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };

/** What is not HTTP has no request and no route: the answer is written to the socket, which is then closed. */
export function answerBrokenHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const status = clientErrorStatus[error.code ?? ''] ?? 400;
  const body = errorBody('openai', notHttp(error), '');
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

/** Every error leaves in the shape of its route, with a code of the catalogue and nothing internal. */
export function answerErrors(app: FastifyInstance, metrics: Metrics): void {
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
    const path = request.url.split('?')[0]!;
    return send(
      reply,
      request,
      new SluiceError('route_not_found', { fields: { method: request.method, path } }),
    );
  });
}
