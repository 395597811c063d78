import websocket from '@fastify/websocket';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Settings } from '#config/schema.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { SocketTickets } from '#shared/tenants/socket-tickets.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { closeCodes } from '../sockets/messages.ts';
import { SocketBook } from '../sockets/socket-book.ts';
import { SocketSession } from '../sockets/socket-session.ts';

/** How long clients have to answer our goodbye. */
const goodbyeMs = 1_000;

/** Lets requests of the whole server be upgraded to WebSockets; a stop says goodbye to all of them. */
export async function acceptSockets(
  app: FastifyInstance,
  { message_max_bytes }: Settings['sockets'],
): Promise<void> {
  await app.register(websocket, {
    options: { maxPayload: message_max_bytes, perMessageDeflate: false },
    // What clients do wrong is answered with a close code; only what is left open by then is an error of ours.
    errorHandler: (_error, socket) => {
      if (socket.readyState === socket.OPEN) socket.terminate();
    },
    preClose(done) {
      const { clients } = this.websocketServer;
      for (const client of clients) client.close(closeCodes.goingAway, 'this server is stopping');
      const late = AbortSignal.timeout(goodbyeMs);
      const cut = () => {
        for (const client of clients) client.terminate();
      };
      late.addEventListener('abort', cut, { once: true });
      this.websocketServer.close();
      done();
    },
  });
}

/** `POST /v1/ws/tickets`: a ticket that opens one socket, for clients that cannot send headers with it. */
export function ticketRoutes(app: FastifyInstance, tickets: SocketTickets): void {
  const schema = { tags: ['sockets'], security: [{ key: [] }] };
  app.post('/v1/ws/tickets', { schema }, async (request, reply) => {
    const { ticket, expiresInSeconds } = await tickets.issue(request.identity);
    return reply.code(201).send({ ticket, expires_in: expiresInSeconds });
  });
}

const query = z.object({ ticket: z.string().max(200).optional().describe('Instead of a key.') });

/**
 * `GET /v1/ws`: events of many jobs over one socket. Who calls is known, and may open one more socket, before the
 * upgrade, so that a refusal is an HTTP answer.
 */
export function socketRoutes(app: FastifyInstance, parts: IngressParts): void {
  const { sockets } = parts.settings;
  const book = new SocketBook(sockets.process_max, sockets.key_max);
  app.addHook('onRequest', async (request) => {
    refuseForeignOrigin(request, sockets.origins);
    if (request.ws) request.raw.socket.once('close', book.enter(request.identity));
  });
  app.route({
    method: 'GET',
    url: '/v1/ws',
    schema: { tags: ['sockets'], security: [{ key: [] }], querystring: query },
    handler: async () => {
      throw new SluiceError('upgrade_required');
    },
    wsHandler: (socket, request) => {
      parts.metrics.openSockets.inc();
      socket.once('close', () => parts.metrics.openSockets.dec());
      const key = parts.virtualKeys.ofIdentity(request.identity);
      if (key) SocketSession.open(parts, socket, { key, address: request.ip });
      else socket.close(closeCodes.keyRevoked, 'the key was revoked');
    },
  });
}

/** Pages may open sockets from the own origin and from those that are named; programs send none. */
function refuseForeignOrigin({ headers, protocol, host }: FastifyRequest, allowed: readonly string[]): void {
  const { origin } = headers;
  if (origin === undefined || allowed.includes(origin) || origin === `${protocol}://${host}`) return;
  throw new SluiceError('origin_not_allowed', { fields: { origin } });
}
