import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { describeComponents } from '#shared/http/describe-components.ts';
import { overlayKinds } from '#shared/overlay/overlay-document.ts';
import { usageAnswer } from '#shared/usage/usage-answer.ts';

const adminObject = z
  .object({
    object: z.enum(overlayKinds),
    id: z.string(),
    source: z
      .enum(['file', 'changed', 'file+changed'])
      .describe('Where it stands: in the configuration file, in what was changed while running, or in both.'),
    version: z.int().describe('As in the entity tag; 0: only the file speaks of it.'),
    changed: z.looseObject({}).describe('What was changed while running, field by field.'),
    settings: z.looseObject({}).describe('What holds. Secrets are not shown.'),
  })
  .meta({ id: 'AdminObject' });
const page = <T extends z.ZodType>(row: T, id: string) =>
  z
    .object({
      object: z.literal('list'),
      data: z.array(row),
      last_id: z.string().nullable(),
      has_more: z.boolean(),
    })
    .meta({ id });
const objectList = page(adminObject, 'AdminObjectList');
const auditRow = z
  .object({
    id: z.string(),
    at: z.string(),
    who: z.string(),
    action: z.string(),
    subject: z.string(),
    version: z.int().nullable(),
    before: z.unknown(),
    after: z.unknown(),
  })
  .meta({ id: 'AuditRow' });

/** What each route answers when all is well; answers are described, not checked, on their way out. */
const answers: Record<string, Record<number, z.ZodType>> = {
  ...Object.fromEntries(overlayKinds.map((kind) => [`GET /admin/${kind}`, { 200: objectList }])),
  ...Object.fromEntries(overlayKinds.map((kind) => [`POST /admin/${kind}`, { 201: adminObject }])),
  'GET /admin/audit': { 200: page(auditRow, 'AuditList') },
  'GET /admin/usage': { 200: usageAnswer },
  'GET /admin/stream': {
    200: z.string().describe('Server-sent events: `pools`, what `/pools` tells, once a second.'),
  },
};

/** Every other route of one thing answers with it. */
function answerOf(method: string, url: string): Record<number, z.ZodType> | undefined {
  const known = answers[`${method} ${url}`];
  if (known) return known;
  if (!url.startsWith('/admin/') || !url.includes('/:')) return undefined;
  return method === 'DELETE' ? { 204: z.null().describe('Taken out.') } : { 200: adminObject };
}

const describeRoute: NonNullable<FastifyDynamicSwaggerOptions['transform']> = (route) => {
  const response = answerOf(String(route.route.method), route.url);
  return jsonSchemaTransform(response ? { ...route, schema: { ...route.schema, response } } : route);
};

/** The OpenAPI document of the routes registered after this (`/docs/json`), and a page to read it (`/docs`). */
export async function describeAdmin(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Sluice admin',
        version: '0.1.0',
        description: 'Customers, keys, providers, pools and limits of a running Sluice.',
      },
      components: { securitySchemes: { admin: { type: 'http', scheme: 'bearer' } } },
    },
    transform: describeRoute,
    transformObject: describeComponents,
  });
  await app.register(swaggerUi, { routePrefix: '/docs' });
}
