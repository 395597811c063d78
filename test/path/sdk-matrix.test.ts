import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { secretOf } from '../../loadtest/simulator/dialects/aws-signature.ts';
import { newSimulator, startSluice, type TestSluice } from '../harness/sluice.ts';
import type { SettingsOverrides } from '../harness/test-settings.ts';
import { doors } from './sdk-doors.ts';
import { arrivalsAt } from './support.ts';

/** A model of each kind of provider. */
const models = {
  openai: 'gpt-5-mini',
  azure: 'my-deployment',
  anthropic: 'claude-sonnet-5',
  gemini: 'gemini-3.8-flash',
  vertex: 'gemini-vertex',
  bedrock: 'anthropic.claude-sonnet-5-v1:0',
};
type Kind = keyof typeof models;
const operations: Partial<Record<Kind, string>> = {
  anthropic: '/v1/messages',
  gemini: '/v1beta/models/{model}:generateContent',
  vertex: '/v1beta/models/{model}:generateContent',
  bedrock: '/model/{model}/converse',
};
const speakOpenai: Kind[] = ['openai', 'azure'];

const accessKeyId = 'AKIASIMULATOR';
const keyOf = (kind: Kind) =>
  kind === 'bedrock' ? `${accessKeyId}:${secretOf(accessKeyId)}` : 'provider-key';
const own: Partial<Record<Kind, object>> = { vertex: { project: 'acme' }, bedrock: { region: 'eu-west-1' } };

let sluice: TestSluice;
beforeAll(async () => {
  const simulator = await newSimulator();
  simulator.latency.replace({ firstByteMs: 1, perTokenMs: 0, jitter: 0 });
  const provider = (kind: Kind) => ({
    dialect: kind,
    base_url: simulator.url,
    credentials: [{ id: 'main', api_key: keyOf(kind) }],
    pools: { all: { models: [models[kind]] } },
    ...own[kind],
  });
  const foreign: Kind[] = ['azure', 'gemini', 'vertex', 'bedrock'];
  const providers = Object.fromEntries(foreign.map((kind) => [kind, provider(kind)]));
  sluice = await startSluice({ simulator, settings: { providers } as SettingsOverrides });
});
afterAll(async () => {
  await sluice?.stop();
  await sluice?.simulator.stop();
});

const modes = [
  { stream: false, tool: false },
  { stream: true, tool: false },
  { stream: false, tool: true },
  { stream: true, tool: true },
];

describe.each(Object.keys(doors))('%s', (door) => {
  describe.each(Object.keys(models) as Kind[])('answered by %s', (kind) => {
    test.each(modes)('stream: $stream, tool: $tool', async ({ stream, tool }) => {
      sluice.simulator.log.clear();
      const answer = await doors[door]!(sluice.url, { model: models[kind], stream, tool });
      const arrivals = arrivalsAt(sluice.simulator);
      expect(arrivals).toHaveLength(tool ? 2 : 1);
      const { inputTokens, outputTokens, path } = arrivals.at(-1)!;
      const chatOrResponses = door.endsWith('responses') ? '/v1/responses' : '/v1/chat/completions';
      expect(path).toBe(speakOpenai.includes(kind) ? chatOrResponses : operations[kind]);
      expect(answer).toMatchObject({ inputTokens, outputTokens });
      expect(answer.text.length).toBeGreaterThan(10);
      expect(answer.call).toEqual(
        tool ? { name: 'weather', arguments: { city: 'river', days: [1] } } : undefined,
      );
    });
  });
});
