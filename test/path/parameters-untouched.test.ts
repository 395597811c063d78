import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { captureProvider } from './support.ts';

const answer = {
  id: 'x',
  object: 'chat.completion',
  created: 1,
  model: 'gpt-5-mini',
  choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
};
let provider: Awaited<ReturnType<typeof captureProvider>>;
let sluice: TestSluice;
beforeAll(async () => {
  provider = await captureProvider({ body: answer });
  sluice = await startSluice({
    settings: {
      providers: { openai: { base_url: `${provider.url}/v1` }, anthropic: { base_url: provider.url } },
    },
  });
});
afterAll(async () => {
  await sluice.stop();
  await provider.stop();
});

const body = {
  model: 'gpt-5-mini',
  messages: [
    { role: 'user', content: [{ type: 'text', text: 'ü "quoted" \u2028' }], name: 'n', unknown_part: null },
  ],
  response_format: {
    type: 'json_schema',
    json_schema: { name: 's', schema: { type: 'object', properties: { constructor: { type: 'string' } } } },
  },
  a_parameter_of_tomorrow: { deep: [1, 2.5, -1e-7, true, null, { '': [] }] },
  user: 'u-1',
  metadata: { trace: 't' },
  stream: false,
};
/** All that Sluice may add to what a provider sees. */
const providerHeaders = [
  'accept',
  'authorization',
  'connection',
  'content-length',
  'content-type',
  'host',
  'openai-beta',
  'x-client-request-id',
];

test('parameters unknown to Sluice reach the provider as they were sent', async () => {
  expect((await sluice.post('/v1/chat/completions', body)).status).toBe(200);
  expect(provider.captured.at(-1)!.body).toBe(JSON.stringify(body));
  expect(provider.captured.at(-1)!.path).toBe('/v1/chat/completions');
});

test('a model named with its provider reaches the provider by its bare name', async () => {
  expect((await sluice.post('/v1/chat/completions', { ...body, model: 'openai/gpt-5-mini' })).status).toBe(
    200,
  );
  expect(provider.captured.at(-1)!.body).toBe(JSON.stringify(body));
});

test('what is between caller and Sluice never reaches the provider', async () => {
  const own = {
    'idempotency-key': 'own-1',
    prefer: 'wait=30',
    'x-sluice-priority': 'batch',
    'x-sluice-deadline': '60',
    'x-sluice-on-disconnect': 'continue',
    'x-sluice-delivery': 'at_most_once',
    'x-api-key': 'caller',
    cookie: 'a=b',
    'x-forwarded-for': '10.0.0.1',
    'openai-organization': 'caller-org',
    'user-agent': 'caller/1',
    traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`,
    'openai-beta': 'assistants=v2',
  };
  expect((await sluice.post('/v1/chat/completions', body, own)).status).toBe(200);
  const { headers } = provider.captured.at(-1)!;
  expect(Object.keys(headers).toSorted()).toEqual(providerHeaders);
  expect(headers.authorization).toBe('Bearer sk-simulator');
  expect(headers['x-client-request-id']).toMatch(/^job_[0-9a-f]{32}\/1$/);
  expect(headers['openai-beta']).toBe('assistants=v2');
  expect(JSON.stringify(headers)).not.toContain(testKey);
});

test('metadata, priority and deadline of a job never reach the provider', async () => {
  const job = {
    endpoint: '/v1/chat/completions',
    body,
    metadata: { order: 'o-1' },
    priority: 3,
    deadline_seconds: 30,
  };
  const { id } = (await (await sluice.post('/v1/jobs', job)).json()) as { id: string };
  expect((await sluice.get(`/v1/jobs/${id}/result`, { prefer: 'wait=30' })).status).toBe(200);
  expect(provider.captured.at(-1)!.body).toBe(JSON.stringify(body));
});
