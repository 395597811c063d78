import { FunctionCallingConfigMode, GoogleGenAI } from '@google/genai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newSimulator, startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { arrivalsAt, captureProvider, untilStatus } from './support.ts';

const model = 'gemini-3.8-flash';
const models = [model, 'gemini-embedding-001'];
const credentials = [{ id: 'main', api_key: 'AIza-simulator' }];

let sluice: TestSluice;
beforeAll(async () => {
  const simulator = await newSimulator();
  sluice = await startSluice({
    simulator,
    settings: {
      providers: {
        google: { dialect: 'gemini', base_url: simulator.url, credentials, pools: { all: { models } } },
      },
    },
  });
});
afterAll(async () => {
  await sluice.stop();
  await sluice.simulator.stop();
});
beforeEach(() => sluice.simulator.log.clear());

/** The official package with its base URL changed. */
const client = (apiKey = testKey) =>
  new GoogleGenAI({ apiKey, httpOptions: { baseUrl: sluice.url, retryOptions: { attempts: 1 } } });
async function listed<Chunk>(chunks: AsyncIterable<Chunk>): Promise<Chunk[]> {
  const list: Chunk[] = [];
  for await (const chunk of chunks) list.push(chunk);
  return list;
}
const marked = (fault: object) => `hello [[sim:${JSON.stringify(fault)}]]`;
const weather = {
  name: 'weather',
  parameters: { type: 'OBJECT', properties: { city: { type: 'STRING' } } },
} as const;

describe('the package @google/genai', () => {
  test('generates, and reads its usage', async () => {
    const answer = await client().models.generateContent({ model, contents: 'hello' });
    expect(answer.text).toMatch(/\w/);
    expect(answer.candidates?.[0]?.finishReason).toBe('STOP');
    expect(answer.usageMetadata?.totalTokenCount).toBeGreaterThan(0);
    expect(arrivalsAt(sluice.simulator)).toHaveLength(1);
  });

  test('names a model with its provider', async () => {
    const answer = await client().models.generateContent({ model: `google/${model}`, contents: 'hello' });
    expect(answer.modelVersion).toBe(model);
  });

  test('streams: the pieces are the answer, and usage comes with the last', async () => {
    const stream = await client().models.generateContentStream({ model, contents: 'tell me a story' });
    let text = '';
    let pieces = 0;
    let last: { totalTokenCount?: number } | undefined;
    for await (const chunk of stream) {
      text += chunk.text ?? '';
      pieces++;
      last = chunk.usageMetadata;
    }
    expect(pieces).toBeGreaterThan(3);
    expect(text.split(' ').length).toBeGreaterThan(3);
    expect(last?.totalTokenCount).toBeGreaterThan(0);
  });

  test.each([false, true])('calls tools and answers them (streamed: %s)', async (streamed) => {
    const config = {
      tools: [{ functionDeclarations: [weather] }],
      toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY } },
    } as never;
    const ask = { model, contents: 'use the tool', config };
    const chunks = streamed
      ? await listed(await client().models.generateContentStream(ask))
      : [await client().models.generateContent(ask)];
    const call = chunks.flatMap(({ functionCalls }) => functionCalls ?? [])[0];
    expect(call).toMatchObject({ name: 'weather', args: { city: 'river' } });
    const contents = [
      { role: 'user', parts: [{ text: 'use the tool' }] },
      { role: 'model', parts: [{ functionCall: call! }] },
      { role: 'user', parts: [{ functionResponse: { name: 'weather', response: { sun: true } } }] },
    ];
    const answer = await client().models.generateContent({
      model,
      contents,
      config: { tools: [{ functionDeclarations: [weather] }] } as never,
    });
    expect(answer.text).toMatch(/\w/);
  });

  test('embeds, and counts tokens', async () => {
    const embedded = await client().models.embedContent({
      model: 'gemini-embedding-001',
      contents: ['one', 'two'],
    });
    expect(embedded.embeddings?.map(({ values }) => values?.length)).toEqual([768, 768]);
    const counted = await client().models.countTokens({ model, contents: 'hello there' });
    expect(counted.totalTokens).toBeGreaterThan(0);
  });

  test('reads errors of ours and of the provider as Google’s own', async () => {
    const failed = async (call: Promise<unknown>) =>
      call.then(
        () => undefined,
        (error: { status: number; message: string }) => ({
          status: error.status,
          ...(JSON.parse(error.message) as { error: object }),
        }),
      );
    expect(
      await failed(client('sk-sl-wrong').models.generateContent({ model, contents: 'x' })),
    ).toMatchObject({
      status: 401,
      error: { status: 'UNAUTHENTICATED', details: [{ reason: 'invalid_key' }, {}] },
    });
    expect(
      await failed(client().models.generateContent({ model: 'gemini-none', contents: 'x' })),
    ).toMatchObject({
      status: 404,
      error: { code: 404, status: 'NOT_FOUND' },
    });
    const contents = marked({ status: 400 });
    expect(await failed(client().models.generateContent({ model, contents }))).toMatchObject({
      status: 400,
      error: { code: 400, status: 'INVALID_ARGUMENT', message: 'The simulator was asked for status 400.' },
    });
  });

  test('is not told of a provider that fails and recovers', async () => {
    sluice.simulator.faults.add({ match: {}, times: 1, fault: { kind: 'capacity' } });
    sluice.simulator.faults.add({ match: {}, times: 1, fault: { kind: 'quota', retryAfterMs: 30 } });
    const answer = await client().models.generateContent({ model, contents: 'hello' });
    expect(answer.text).toMatch(/\w/);
    expect(arrivalsAt(sluice.simulator).map(({ status }) => status)).toEqual([503, 429, 200]);
  });

  test('hears of a stream that breaks off', async () => {
    const contents = marked({ streamErrorAfter: 2, outputTokens: 9 });
    const stream = await client().models.generateContentStream({ model, contents });
    await expect(listed(stream)).rejects.toThrow();
  });
});

test('what goes to the provider is what the caller sent, without what the path says', async () => {
  const answer = { candidates: [{ content: { parts: [{ text: 'a' }] }, finishReason: 'STOP' }] };
  const provider = await captureProvider({ body: answer });
  const { simulator, redis } = sluice;
  const captured = await startSluice({
    simulator,
    redis,
    settings: {
      providers: {
        google: {
          dialect: 'gemini',
          base_url: provider.url,
          credentials,
          pools: { capture: { models: ['seen'] } },
        },
      },
    },
  });
  const body = { contents: [{ parts: [{ text: 'hi' }] }], unknownField: { deep: [1, null] } };
  const response = await captured.post('/v1beta/models/seen:generateContent', body);
  expect(await response.json()).toEqual(answer);
  const [seen] = provider.captured;
  expect(seen).toMatchObject({
    path: '/v1beta/models/seen:generateContent',
    headers: { 'x-goog-api-key': 'AIza-simulator' },
  });
  expect(JSON.parse(seen!.body)).toEqual(body);
  await captured.stop();
  await provider.stop();
});

describe('the routes of Gemini', () => {
  const body = { contents: [{ parts: [{ text: 'hello' }] }] };
  const ask = (path: string, headers: Record<string, string> = {}) =>
    fetch(`${sluice.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });

  test('take the key from the query', async () => {
    expect((await ask(`/v1beta/models/${model}:generateContent?key=${testKey}`)).status).toBe(200);
    expect((await ask(`/v1beta/models/${model}:generateContent?key=wrong`)).status).toBe(401);
    expect((await ask(`/v1/chat/completions?key=${testKey}`)).status).toBe(401);
  });

  test.each([
    [`/v1beta/models/${model}:sing`, 404, 'route_not_found'],
    ['/v1beta/models/:generateContent', 404, 'route_not_found'],
    [`/v1beta/models/${model}:streamGenerateContent`, 400, 'invalid_request'],
  ])('refuse what they do not have: %s', async (path, status, reason) => {
    const response = await ask(path, { 'x-goog-api-key': testKey });
    expect(response.status).toBe(status);
    const { error } = (await response.json()) as { error: { details: { reason: string }[] } };
    expect(error.details[0]!.reason).toBe(reason);
  });

  test('answer through every door: later, and as a job', async () => {
    const headers = { 'x-goog-api-key': testKey };
    const later = await ask(`/v1beta/models/${model}:generateContent`, {
      ...headers,
      prefer: 'respond-async',
    });
    expect(later.status).toBe(202);
    const { id } = (await later.json()) as { id: string };
    await untilStatus(sluice, id, 'succeeded');
    const endpoint = '/v1beta/models/{model}:generateContent';
    const submitted = await sluice.post('/v1/jobs', { endpoint, body: { ...body, model, stream: true } });
    const job = (await submitted.json()) as { id: string };
    await untilStatus(sluice, job.id, 'succeeded');
    const result = await (await sluice.get(`/v1/jobs/${job.id}/result`)).text();
    expect(result).toContain('data: {"candidates"');
    expect(result).toContain('"finishReason":"STOP"');
  });
});

describe('aliases', () => {
  test.each([
    ['/openai/v1/chat/completions', { model: 'gpt-5-mini', messages: [{ role: 'user', content: 'hi' }] }],
    [
      '/openai/deployments/gpt-5-mini/chat/completions?api-version=1',
      { model: 'gpt-5-mini', messages: [{ role: 'user', content: 'hi' }] },
    ],
    [
      '/anthropic/v1/messages',
      { model: 'claude-sonnet-5', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] },
    ],
    ['/gemini/v1beta/models/gemini-3.8-flash:generateContent', { contents: [{ parts: [{ text: 'hi' }] }] }],
  ])('lead to the same routes: %s', async (path, body) => {
    expect((await sluice.post(path, body)).status).toBe(200);
  });

  test('answer with errors in the shape of their route', async () => {
    const response = await sluice.post('/anthropic/v1/messages', { model: 'claude-sonnet-5' });
    expect(await response.json()).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } });
  });
});

test('tokens are counted at Anthropic without using any', async () => {
  const body = { model: 'claude-sonnet-5', messages: [{ role: 'user', content: 'hello there' }] };
  const response = await sluice.post('/v1/messages/count_tokens', body);
  expect(response.status).toBe(200);
  expect((await response.json()) as object).toEqual({ input_tokens: expect.any(Number) as number });
  const job = await untilStatus(sluice, response.headers.get('x-sluice-job-id')!, 'succeeded');
  expect(job.usage).toBeNull();
});
