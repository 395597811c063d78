import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newSimulator, startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { arrivalsAt, type Captured, captureProvider } from './support.ts';

const credentials = [{ id: 'main', api_key: 'provider-key' }];
const pools = (model: string) => ({ all: { models: [model] } });

let sluice: TestSluice;
let capture: { url: string; captured: Captured[]; stop: () => Promise<void> };
beforeAll(async () => {
  const simulator = await newSimulator();
  capture = await captureProvider({
    body: { choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } },
  });
  sluice = await startSluice({
    simulator,
    settings: {
      providers: {
        azure: { dialect: 'azure', base_url: simulator.url, credentials, pools: pools('my-deployment') },
        vertex: {
          dialect: 'vertex',
          project: 'acme',
          base_url: simulator.url,
          credentials,
          pools: pools('gemini-vertex'),
        },
        mistral: {
          preset: 'mistral',
          base_url: `${capture.url}/v1`,
          credentials,
          pools: pools('mistral-large'),
        },
        groq: { preset: 'groq', base_url: `${capture.url}/openai/v1`, credentials, pools: pools('llama') },
        odd: {
          dialect: 'openai',
          base_url: `${capture.url}/inference`,
          version_path: '',
          credentials,
          pools: pools('odd-model'),
        },
      },
    },
  });
});
afterAll(async () => {
  await sluice.stop();
  await sluice.simulator.stop();
  await capture.stop();
});
beforeEach(() => {
  sluice.simulator.log.clear();
  capture.captured.length = 0;
});

const messages = [{ role: 'user' as const, content: 'hello' }];

test('a deployment of Azure OpenAI is called, and streamed, as any model', async () => {
  const openai = new OpenAI({ apiKey: testKey, baseURL: `${sluice.url}/v1`, maxRetries: 0 });
  const whole = await openai.chat.completions.create({ model: 'azure/my-deployment', messages });
  expect(whole.model).toBe('my-deployment');
  let text = '';
  for await (const chunk of await openai.chat.completions.create({
    model: 'my-deployment',
    messages,
    stream: true,
  }))
    text += chunk.choices[0]?.delta.content ?? '';
  expect(text).toMatch(/\w/);
  expect(arrivalsAt(sluice.simulator).map(({ credential }) => credential)).toEqual(['er-key', 'er-key']);
});

test('a model at Vertex AI is called with Gemini’s routes', async () => {
  const contents = [{ parts: [{ text: 'hello' }] }];
  const response = await sluice.post('/v1beta/models/gemini-vertex:generateContent', { contents });
  expect(response.status).toBe(200);
  expect(arrivalsAt(sluice.simulator)).toHaveLength(1);
});

async function seen(
  model: string,
  more: object = {},
): Promise<{ path: string; body: Record<string, unknown> }> {
  await sluice.post('/v1/chat/completions', { model, messages, ...more });
  const { path, body } = capture.captured[0]!;
  return { path, body: JSON.parse(body) as Record<string, unknown> };
}

test('a host that tells usage by itself is not asked for it; others are', async () => {
  const streaming = { stream: true, stream_options: { include_usage: true } };
  const { body } = await seen('mistral-large', streaming);
  expect(body).toEqual({ model: 'mistral-large', messages, stream: true });
  capture.captured.length = 0;
  expect((await seen('llama', { stream: true })).body.stream_options).toEqual({ include_usage: true });
});

test('each host is asked where it has the endpoint', async () => {
  expect((await seen('llama')).path).toBe('/openai/v1/chat/completions');
  capture.captured.length = 0;
  expect((await seen('odd-model')).path).toBe('/inference/chat/completions');
});
