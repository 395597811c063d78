import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Endpoint } from '#shared/contracts/endpoint.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { callBodies } from '../call-schemas.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { answerCall } from './calls.ts';

const modelParams = z.object({ model: z.string() });
type ModelParams = z.infer<typeof modelParams>;

const generateContent = '/v1beta/models/{model}:generateContent';
const methods = new Map<string, Endpoint>([
  ['generateContent', generateContent],
  ['streamGenerateContent', generateContent],
  ['embedContent', '/v1beta/models/{model}:embedContent'],
  ['batchEmbedContents', '/v1beta/models/{model}:batchEmbedContents'],
  ['countTokens', '/v1beta/models/{model}:countTokens'],
]);

/**
 * Google's calls: the path names model and method in one part. A model that is named with its provider has a slash of its
 * own (`provider/model`), which no parameter of a route takes.
 */
export function geminiRoutes(root: FastifyInstance, parts: IngressParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const security = [{ key: [] }];
  // readCall validates, as for every other call.
  const validatorCompiler = () => (value: unknown) => ({ value });
  for (const [method, endpoint] of methods) {
    const schema = { tags: ['calls'], body: callBodies[endpoint], params: modelParams, security };
    app.post(`/v1beta/models/:model(^.+)::${method}`, { schema, validatorCompiler }, (request, reply) =>
      answerGemini(parts, request, reply, (request.params as ModelParams).model, method),
    );
  }
  const schema = { hide: true, body: z.looseObject({}) };
  app.post('/v1beta/models/*', { schema, validatorCompiler }, (request, reply) => {
    const path = (request.params as { '*': string })['*'];
    const colon = path.lastIndexOf(':');
    return answerGemini(parts, request, reply, path.slice(0, Math.max(0, colon)), path.slice(colon + 1));
  });
}

async function answerGemini(
  parts: IngressParts,
  request: FastifyRequest,
  reply: FastifyReply,
  model: string,
  method: string,
): Promise<FastifyReply> {
  const endpoint = methods.get(method);
  if (endpoint === undefined || model === '') {
    const fields = { method: request.method, path: request.url.split('?')[0]! };
    throw new SluiceError('route_not_found', { fields });
  }
  const stream = method === 'streamGenerateContent';
  if (stream && (request.query as { alt?: unknown }).alt !== 'sse')
    throw new SluiceError('invalid_request', {
      fields: { reason: 'alt: streams are server-sent events here; ask for them with ?alt=sse' },
      param: 'alt',
    });
  const body = typeof request.body === 'object' ? request.body : {};
  return answerCall(parts, endpoint, request, reply, { ...body, model, ...(stream ? { stream } : {}) });
}
