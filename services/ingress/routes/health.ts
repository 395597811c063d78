import type { FastifyInstance } from 'fastify';
import { SluiceError } from '#shared/kernel/errors.ts';

/** /healthz: the process is alive. /readyz: it can accept, proven by a write to the store. */
export function healthRoutes(app: FastifyInstance, probe: () => Promise<void>): void {
  app.get('/healthz', { schema: { tags: ['health'] } }, async () => ({ status: 'ok' }));
  app.get('/readyz', { schema: { tags: ['health'] } }, async () => {
    try {
      await probe();
    } catch (cause) {
      throw new SluiceError('store_unavailable', { cause, retryAfterMs: 1_000 });
    }
    return { status: 'ready' };
  });
}
