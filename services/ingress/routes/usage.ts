import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { SluiceError } from '#shared/kernel/errors.ts';
import { answerUsage } from '#shared/usage/usage-answer.ts';
import { usageGroups, usageQuery, usageQueryOf } from '#shared/usage/usage-query.ts';
import type { IngressParts } from '../ingress-parts.ts';

/** A tenant sees its own usage only, so there is nothing to group by. */
const ownGroups = usageGroups.filter((name) => name !== 'tenant');

const busyRetryAfterMs = 1_000;

/** What the caller's tenant has used. */
export function usageRoutes(
  root: FastifyInstance,
  parts: Pick<IngressParts, 'redis' | 'settings' | 'clock'>,
): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const asking = new Set<string>();
  const schema = { tags: ['usage'], security: [{ key: [] }], querystring: usageQuery };
  app.get('/v1/usage', { schema }, async (request, reply) => {
    const bounds = { nowMs: parts.clock.nowMs(), daysMax: parts.settings.jobs.usage_retention_days };
    const query = usageQueryOf(request.query, ownGroups, bounds);
    const { tenant } = request.identity;
    // One question may read a year, a day after the other; many at once would hold up the calls of everybody.
    if (asking.has(tenant)) throw new SluiceError('usage_busy', { retryAfterMs: busyRetryAfterMs });
    asking.add(tenant);
    try {
      const { contentType, body } = await answerUsage(parts.redis, [tenant], query, request.query.format);
      return reply.header('content-type', contentType).send(body);
    } finally {
      asking.delete(tenant);
    }
  });
}
