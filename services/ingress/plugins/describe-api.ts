import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { batchObject } from '#shared/batches/batch-object.ts';
import { endpoints } from '#shared/contracts/endpoint.ts';
import { describeComponents } from '#shared/http/describe-components.ts';
import { jobObject } from '#shared/jobs/job-object.ts';
import { usageAnswer } from '#shared/usage/usage-answer.ts';
import { fileObject } from '../file-object.ts';
import { batchList } from '../routes/batches.ts';
import { deletedFile, fileList } from '../routes/files.ts';
import { jobList } from '../routes/jobs.ts';
import { webhookAnswers } from '../routes/webhook-endpoints.ts';

const providerAnswer = z.looseObject({}).describe('The answer of the provider, byte for byte.');
const jobEvents = z
  .string()
  .describe('Server-sent events: queued, dispatched, delta, completed, failed, cancelled, expired.');
const submitted = z.object({
  status: z.int(),
  job: jobObject.optional(),
  error: z.looseObject({}).optional(),
});
const submittedList = z.object({ object: z.literal('list'), data: z.array(submitted) });

/** What each route answers when all is well; answers are described, not checked, on their way out. */
const answers: Record<string, Record<number, z.ZodType>> = {
  ...Object.fromEntries(
    endpoints.map((endpoint) => [`POST ${endpoint}`, { 200: providerAnswer, 202: jobObject }]),
  ),
  'POST /v1/jobs': { 202: z.union([jobObject, submittedList]) },
  'GET /v1/jobs': { 200: jobList },
  'GET /v1/jobs/:id': { 200: jobObject },
  'GET /v1/jobs/:id/result': { 200: providerAnswer, 202: jobObject },
  'GET /v1/jobs/:id/events': { 200: jobEvents },
  'POST /v1/jobs/:id/cancel': { 200: jobObject },
  'POST /v1/batches': { 200: batchObject },
  'GET /v1/batches': { 200: batchList },
  'GET /v1/batches/:id': { 200: batchObject },
  'POST /v1/batches/:id/cancel': { 200: batchObject },
  'GET /v1/batches/:id/output': { 200: z.unknown().describe('JSON lines, as in the output file.') },
  'POST /v1/files': { 200: fileObject },
  'GET /v1/files': { 200: fileList },
  'GET /v1/files/:id': { 200: fileObject },
  'GET /v1/files/:id/content': { 200: z.unknown().describe('The bytes of the file.') },
  'DELETE /v1/files/:id': { 200: deletedFile },
  'GET /v1/usage': { 200: usageAnswer },
  ...webhookAnswers,
};

const describeRoute: NonNullable<FastifyDynamicSwaggerOptions['transform']> = (route) => {
  const response = answers[`${String(route.route.method)} ${route.url}`];
  return jsonSchemaTransform(response ? { ...route, schema: { ...route.schema, response } } : route);
};

/** The OpenAPI document of the routes registered after this (`/docs/json`), and a page to read it (`/docs`). */
export async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Sluice',
        version: '0.1.0',
        description: 'A durable, fair, rate-limit-exact broker for LLM calls.',
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    },
    transform: describeRoute,
    transformObject: describeComponents,
  });
  await app.register(swaggerUi, { routePrefix: '/docs' });
}
