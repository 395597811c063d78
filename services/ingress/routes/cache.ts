import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { namespaceField } from '../cache/cache-wish.ts';
import type { ResponseCache } from '../cache/response-cache.ts';

const query = z.object({
  namespace: namespaceField
    .optional()
    .describe('Whose answers are forgotten. Without it: all of the tenant.'),
});
/** Forgetting answers that were kept for later calls. */
export function cacheRoutes(app: FastifyInstance, cache: ResponseCache): void {
  app.withTypeProvider<ZodTypeProvider>().delete(
    '/v1/cache',
    {
      schema: {
        tags: ['cache'],
        security: [{ key: [] }],
        querystring: query,
      },
    },
    async ({ identity, query: { namespace } }) => ({
      object: 'cache.cleared',
      namespace: namespace ?? null,
      deleted: await cache.clear(identity.tenant, namespace),
    }),
  );
}
