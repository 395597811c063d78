import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newSimulator, startSluice, type TestSluice } from '../harness/sluice.ts';
import { type SettingsOverrides, testKey } from '../harness/test-settings.ts';
import { arrivalsAt } from './support.ts';

const model = 'gemini-embedding-001';
let sluice: TestSluice;
beforeAll(async () => {
  const simulator = await newSimulator();
  const google = {
    dialect: 'gemini',
    base_url: simulator.url,
    credentials: [{ id: 'main', api_key: 'AIza-simulator' }],
    pools: { all: { models: [model] } },
  };
  sluice = await startSluice({ simulator, settings: { providers: { google } } as SettingsOverrides });
});
afterAll(async () => {
  await sluice?.stop();
  await sluice?.simulator.stop();
});
beforeEach(() => sluice.simulator.log.clear());

const openai = () => new OpenAI({ apiKey: testKey, baseURL: `${sluice.url}/v1`, maxRetries: 0 });

test('the openai package embeds with a model of Gemini: one request, vectors in its own order and encoding', async () => {
  const input = ['rivers', 'towers'];
  const { data, response } = await openai()
    .embeddings.create({ model, input, dimensions: 64, user: 'somebody' })
    .withResponse();
  const floats = await openai().embeddings.create({ model, input, dimensions: 64, encoding_format: 'float' });
  expect(data.data.map(({ embedding }) => embedding.length)).toEqual([64, 64]);
  for (const [index, { embedding }] of floats.data.entries())
    for (const [at, value] of embedding.entries())
      expect(data.data[index]!.embedding[at]).toBeCloseTo(value, 5);
  expect(data.data[0]!.embedding).not.toEqual(data.data[1]!.embedding);
  expect(response.headers.get('x-sluice-dropped-params')).toBe('user');
  const paths = arrivalsAt(sluice.simulator).map(({ path }) => path);
  expect(paths).toEqual(Array(2).fill('/v1beta/models/{model}:batchEmbedContents'));
});

test('tokens of another vocabulary are refused before anything is sent', async () => {
  const failed = openai().embeddings.create({ model, input: [[1, 2, 3]] });
  await expect(failed).rejects.toMatchObject({ status: 400, code: 'not_translatable', param: 'input' });
  expect(arrivalsAt(sluice.simulator)).toEqual([]);
});

test('a refusal of the provider is told in the words of the caller, and a fault is asked again', async () => {
  const faults = [{ status: 500 }, { status: 400 }];
  for (const fault of faults) sluice.simulator.faults.add({ match: { model }, times: 1, fault });
  const failed = openai().embeddings.create({ model, input: 'rivers' });
  await expect(failed).rejects.toMatchObject({ status: 400, type: 'invalid_request_error' });
  expect(arrivalsAt(sluice.simulator).map(({ status }) => status)).toEqual([500, 400]);
});

test('an answer without vectors is none', async () => {
  const fault = { body: { embeddings: [{ values: 'none' }] } };
  sluice.simulator.faults.add({ match: { model }, times: 100, fault });
  const failed = openai().embeddings.create({ model, input: 'rivers' });
  await expect(failed).rejects.toMatchObject({ status: 502, code: 'provider_invalid_response' });
  sluice.simulator.faults.clear();
});
