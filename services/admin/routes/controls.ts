import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { OverlayKind } from '#shared/overlay/overlay-document.ts';
import type { AdminObjects } from '../objects/admin-objects.ts';
import { guarded } from '../plugins/authenticate-admin.ts';
import { operatorOf, preconditionOf, sendObject } from '../preconditions.ts';
import { idOf } from './objects.ts';

const poolModes = { pause: 'paused', resume: 'open', drain: 'draining' } as const;
const weightBody = z.strictObject({ weight: z.number() });
const poolParams = z.object({ provider: z.string(), id: z.string() });
const tenantParams = z.object({ id: z.string() });

/** What operators do to pools and tenants while calls run. Each is a change of settings, and so holds for all workers. */
export function controlRoutes(app: FastifyInstance, objects: AdminObjects): void {
  const patch = async (
    kind: OverlayKind,
    fields: Record<string, unknown>,
    request: FastifyRequest,
    reply: FastifyReply,
  ) => {
    const id = idOf(kind, request.params as Record<string, string>);
    const change = { kind, id, who: operatorOf(request), precondition: preconditionOf(request) };
    return sendObject(reply, await objects.patch(change, fields));
  };
  for (const [action, mode] of Object.entries(poolModes)) {
    const schema = { ...guarded('pools'), params: poolParams };
    app.post(`/admin/pools/:provider/:id/${action}`, { schema }, (request, reply) =>
      patch('pools', { mode }, request, reply),
    );
  }
  const schema = { ...guarded('tenants'), params: tenantParams };
  app.post('/admin/tenants/:id/pause', { schema }, (request, reply) =>
    patch('customers', { paused: true }, request, reply),
  );
  app.post('/admin/tenants/:id/resume', { schema }, (request, reply) =>
    patch('customers', { paused: false }, request, reply),
  );
  app.post('/admin/tenants/:id/weight', { schema: { ...schema, body: weightBody } }, (request, reply) =>
    patch('customers', request.body as z.output<typeof weightBody>, request, reply),
  );
}
