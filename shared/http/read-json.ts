import type { FastifyInstance } from 'fastify';
import { SluiceError } from '#shared/kernel/errors.ts';
import { parseUntrustedJson } from '#shared/kernel/json-guard.ts';

/** JSON bodies only, checked before they are parsed; compressed ones are refused. */
export function readJsonBodies(app: FastifyInstance, maxDepth: number): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    // Many clients name the type of a body they do not send; only a route that wants one misses it.
    if (body.length === 0 && request.routeOptions.schema?.body === undefined) return done(null, undefined);
    try {
      if ((request.headers['content-encoding'] ?? 'identity') !== 'identity')
        throw new SluiceError('unsupported_media_type');
      done(null, parseUntrustedJson(body as Buffer, maxDepth));
    } catch (error) {
      done(error as Error);
    }
  });
}
