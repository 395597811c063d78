import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import { type SettingsOverrides, testKey } from '../harness/test-settings.ts';
import { answers } from '../services/worker/translate/recorded.ts';
import { captureProvider } from './support.ts';

type Capture = Awaited<ReturnType<typeof captureProvider>>;

let google: Capture;
let claude: Capture;
let sluice: TestSluice;
beforeAll(async () => {
  google = await captureProvider({ body: answers.gemini.answer });
  claude = await captureProvider({ body: answers.anthropic.answer });
  const credentials = [{ id: 'main', api_key: 'provider-key' }];
  const provider = (dialect: string, base_url: string, model: string) => ({
    dialect,
    base_url,
    credentials,
    pools: { all: { models: [model] } },
  });
  const providers = {
    google: provider('gemini', google.url, 'thinks-first'),
    claude: provider('anthropic', claude.url, 'goes-on'),
  };
  sluice = await startSluice({ settings: { providers } as SettingsOverrides });
});
afterAll(async () => {
  await sluice?.stop();
  await Promise.all([google?.stop(), claude?.stop()]);
});

test('a conversation that Gemini began goes on at Anthropic without the signatures of the other, and back again with them', async () => {
  const anthropic = new Anthropic({ apiKey: testKey, baseURL: sluice.url, maxRetries: 0 });
  const tools = [{ name: 'weather', input_schema: { type: 'object' as const } }];
  const messages: Anthropic.MessageParam[] = [{ role: 'user', content: 'Hi' }];
  const ask = (model: string) => anthropic.messages.create({ model, max_tokens: 3_000, messages, tools });
  const first = await ask('thinks-first');
  const use = first.content.find(({ type }) => type === 'tool_use') as Anthropic.ToolUseBlock;
  const result = { type: 'tool_result' as const, tool_use_id: use.id, content: '21' };
  messages.push({ role: 'assistant', content: first.content }, { role: 'user', content: [result] });
  await ask('goes-on');
  const [atClaude] = claude.captured;
  expect(JSON.stringify(messages)).toContain('sluice.');
  expect(atClaude!.body).not.toContain('sluice.');
  expect(atClaude!.body).toContain(`"tool_use_id":"${use.id}"`);
  await ask('thinks-first');
  expect(google.captured.at(-1)!.body).toContain('"thoughtSignature":"c2ln"');
});
