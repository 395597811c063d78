import type { FastifyInstance, FastifyRequest } from 'fastify';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import type { Identity, VirtualKeys } from '#shared/tenants/virtual-keys.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; set before any handler of an authenticated route runs. */
    identity: Identity;
  }
}

/** The key in whichever place the SDKs put it; in the query only where Google's have it. */
function keyOf(request: FastifyRequest): string | undefined {
  const { authorization } = request.headers;
  if (authorization !== undefined) return /^Bearer\s+(\S+)\s*$/i.exec(authorization)?.[1] ?? '';
  for (const name of ['x-api-key', 'api-key', 'x-goog-api-key']) {
    const value = request.headers[name];
    if (typeof value === 'string') return value;
  }
  const { key } = (request.query ?? {}) as { key?: unknown };
  return request.url.startsWith('/v1beta/') && typeof key === 'string' ? key : undefined;
}

/**
 * Identifies the caller of every route of `app` by its virtual key, before the body is read. With `redeem` a caller
 * without a key may show a ticket instead.
 */
export function authenticate(
  app: FastifyInstance,
  virtualKeys: Live<VirtualKeys>,
  redeem?: (ticket: string) => Promise<Identity | undefined>,
): void {
  app.decorateRequest('identity');
  app.addHook('onRequest', async (request) => {
    const key = keyOf(request);
    const { ticket } = (request.query ?? {}) as { ticket?: unknown };
    if (key === undefined && redeem && typeof ticket === 'string') {
      const holder = await redeem(ticket);
      if (!holder) throw new SluiceError('invalid_ticket');
      request.identity = holder;
      return;
    }
    if (key === undefined) throw new SluiceError('missing_key');
    const identity = virtualKeys.current.identify(key);
    if (!identity) throw new SluiceError('invalid_key');
    request.identity = identity;
  });
}
