import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { describeComponents } from '#shared/http/describe-components.ts';

/** What each route answers when all is well; answers are described, not checked, on their way out. */
const answers: Record<string, Record<number, z.ZodType>> = {
  'GET /admin/stream': {
    200: z.string().describe('Server-sent events: `pools`, what `/pools` tells, once a second.'),
  },
};

const describeRoute: NonNullable<FastifyDynamicSwaggerOptions['transform']> = (route) => {
  const response = answers[`${String(route.route.method)} ${route.url}`];
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
