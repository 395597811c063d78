import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { AuditLog } from '#shared/overlay/audit-log.ts';
import { guarded } from '../plugins/authenticate-admin.ts';

const auditQuery = z.object({
  before: z
    .string()
    .regex(/^\d{1,16}-\d{1,16}$/)
    .optional()
    .describe('Id of a row: older ones follow.'),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});

/** Who changed what, the newest first. */
export function auditRoutes(app: FastifyInstance, audit: AuditLog): void {
  app.get('/admin/audit', { schema: { ...guarded('audit'), querystring: auditQuery } }, async (request) => {
    const { before, limit } = request.query as z.output<typeof auditQuery>;
    const rows = await audit.list({ before, limit: limit + 1 });
    const data = rows.slice(0, limit).map(({ atMs, version, ...row }) => ({
      ...row,
      at: new Date(atMs).toISOString(),
      version: version ?? null,
    }));
    return { object: 'list', data, last_id: data.at(-1)?.id ?? null, has_more: rows.length > limit };
  });
}
