import { afterAll, beforeAll, expect, test } from 'vitest';
import { endpoints } from '#shared/contracts/endpoint.ts';
import { startSluice, type TestSluice } from '../harness/sluice.ts';

let sluice: TestSluice;
let api: Api;
beforeAll(async () => {
  sluice = await startSluice({ withoutWorker: true });
  api = (await (await fetch(`${sluice.url}/docs/json`)).json()) as Api;
});
afterAll(() => sluice.stop());

interface Operation {
  tags?: string[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<string, unknown>;
  security?: Record<string, string[]>[];
}
interface Api {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object>; securitySchemes: Record<string, object> };
}

const operations = () =>
  Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      operation,
    })),
  );

test('the document is OpenAPI 3.1, and every reference in it leads somewhere', () => {
  expect(api.openapi).toBe('3.1.0');
  expect(api.info).toMatchObject({ title: 'Sluice', version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
  const references = [...JSON.stringify(api).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
    ([, id]) => id!,
  );
  expect(references.length).toBeGreaterThan(5);
  for (const id of references) expect(Object.keys(api.components.schemas)).toContain(id);
  for (const { name, operation } of operations()) {
    expect(Object.keys(operation.responses).length, name).toBeGreaterThan(0);
    for (const parameter of name.matchAll(/\{(\w+)\}/g))
      expect(JSON.stringify(operation), name).toContain(`"in":"path","name":"${parameter[1]}"`);
    for (const requirement of operation.security ?? []) {
      for (const scheme of Object.keys(requirement))
        expect(Object.keys(api.components.securitySchemes)).toContain(scheme);
    }
  }
});

test('it names every public route, and no other', () => {
  const expected = [
    ...endpoints.map((endpoint) => `POST ${endpoint}`),
    'POST /v1beta/models/{model}:streamGenerateContent',
    'GET /v1/jobs',
    'POST /v1/jobs',
    'GET /v1/jobs/{id}',
    'GET /v1/jobs/{id}/result',
    'GET /v1/jobs/{id}/events',
    'POST /v1/jobs/{id}/cancel',
    'POST /v1/webhook-endpoints',
    'GET /v1/webhook-endpoints',
    'GET /v1/webhook-endpoints/{id}',
    'PATCH /v1/webhook-endpoints/{id}',
    'DELETE /v1/webhook-endpoints/{id}',
    'POST /v1/webhook-endpoints/{id}/rotate-secret',
    'POST /v1/webhook-endpoints/{id}/test',
    'GET /v1/webhook-endpoints/{id}/deliveries',
    'POST /v1/webhook-endpoints/{id}/deliveries/{delivery}/redeliver',
    'POST /v1/webhook-endpoints/{id}/recover',
    'GET /v1/models',
    'GET /v1/usage',
    'GET /v1/ws',
    'POST /v1/ws/tickets',
    'GET /v1/files',
    'POST /v1/files',
    'GET /v1/files/{id}',
    'POST /v1/batches',
    'GET /v1/batches',
    'GET /v1/batches/{id}',
    'POST /v1/batches/{id}/cancel',
    'GET /v1/batches/{id}/output',
    'DELETE /v1/cache',
    'DELETE /v1/files/{id}',
    'GET /v1/files/{id}/content',
    'GET /healthz',
    'GET /readyz',
  ];
  expect(
    operations()
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual(expected.toSorted());
});

test('every route it names is there', async () => {
  for (const { name } of operations()) {
    const [method, path] = name.split(' ') as [string, string];
    const response = await fetch(`${sluice.url}${path.replaceAll(/\{\w+\}/g, 'x')}`, { method });
    expect([200, 401], name).toContain(response.status);
    if (path.startsWith('/v1/')) expect(response.status, name).toBe(401);
  }
});

test('every /v1 route asks for a key, and bodies are components with plain names', () => {
  for (const { name, operation } of operations()) {
    expect(operation.security !== undefined, name).toBe(/ \/v1(beta)?\//.test(name));
    expect(operation.tags, name).toHaveLength(1);
  }
  expect(Object.keys(api.components.schemas).toSorted()).toEqual([
    'Batch',
    'BatchEmbedContentsRequest',
    'BatchList',
    'BatchSubmission',
    'ChatCompletionRequest',
    'CompletionRequest',
    'CountTokensRequest',
    'EmbedContentRequest',
    'EmbeddingRequest',
    'File',
    'FileList',
    'GeminiCountTokensRequest',
    'GenerateContentRequest',
    'Job',
    'JobList',
    'JobSubmission',
    'MessageRequest',
    'ResponseRequest',
    'Usage',
    'WebhookDelivery',
    'WebhookDeliveryList',
    'WebhookEndpoint',
    'WebhookEndpointChange',
    'WebhookEndpointList',
    'WebhookEndpointSubmission',
    'WebhookEndpointWithSecret',
    'WebhookRecovery',
    'WebhookRecoveryAnswer',
  ]);
  expect(api.paths['/v1/chat/completions']!.post!.requestBody!.content['application/json']!.schema).toEqual({
    $ref: '#/components/schemas/ChatCompletionRequest',
  });
});
