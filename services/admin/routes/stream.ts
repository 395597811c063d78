import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { AdminParts } from '../admin-parts.ts';
import { guarded } from '../plugins/authenticate-admin.ts';

type StreamParts = Pick<AdminParts, 'settings' | 'clock' | 'survey'>;

/** Server-sent events for whoever watches: how all pools are, again and again. */
export function streamRoutes(app: FastifyInstance, parts: StreamParts): void {
  let open = 0;
  app.get('/admin/stream', { schema: guarded('stream') }, async (_request, reply) => {
    const limit = parts.settings.admin.streams_max;
    if (open >= limit) throw new SluiceError('too_many_sockets', { fields: { axis: 'process', limit } });
    open++;
    const ended = new AbortController();
    reply.raw.once('close', () => {
      open--;
      ended.abort();
    });
    const events = Readable.from(tellPools(parts, ended.signal), { highWaterMark: 1 });
    return reply.type('text/event-stream').header('cache-control', 'no-store').send(events);
  });
}

/** Pulled by its reader, so that a slow one misses states instead of piling them up. */
async function* tellPools({ settings, clock, survey }: StreamParts, ended: AbortSignal) {
  while (!ended.aborted) {
    yield await survey().then(
      (state) => `event: pools\ndata: ${JSON.stringify(state)}\n\n`,
      () => 'event: error\ndata: {"code":"store_unavailable"}\n\n',
    );
    await clock.sleep(settings.admin.stream_ms, ended);
  }
}
