import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { answerUsage } from '#shared/usage/usage-answer.ts';
import { usageGroups, usageQuery, usageQueryOf } from '#shared/usage/usage-query.ts';
import type { AdminParts } from '../admin-parts.ts';
import { guarded } from '../plugins/authenticate-admin.ts';

const adminUsageQuery = usageQuery.extend({
  tenant: z.string().max(64).optional().describe('Only of this one; unset: of all that ever called.'),
});

/** What tenants have used, all or one of them; `group_by` may name the tenant. */
export function usageRoutes(
  app: FastifyInstance,
  parts: Pick<AdminParts, 'redis' | 'settings' | 'clock'>,
): void {
  const schema = { ...guarded('usage'), querystring: adminUsageQuery };
  app.get('/admin/usage', { schema }, async (request, reply) => {
    const { tenant, format, ...asked } = request.query as z.output<typeof adminUsageQuery>;
    const bounds = { nowMs: parts.clock.nowMs(), daysMax: parts.settings.jobs.usage_retention_days };
    const query = usageQueryOf({ ...asked, format }, usageGroups, bounds);
    const known = await tenantsOf(parts.redis);
    const tenants = tenant === undefined ? known : known.filter((each) => each === tenant);
    const { contentType, body } = await answerUsage(parts.redis, tenants, query, format);
    return reply.header('content-type', contentType).send(body);
  });
}

/** All tenants that ever had a job, whether the configuration still names them or not. */
async function tenantsOf(redis: RedisConnection): Promise<string[]> {
  const tenants = await redis.smembers(keys.tenants()).catch((error: unknown) => {
    throw storeError(error);
  });
  return tenants.toSorted();
}
