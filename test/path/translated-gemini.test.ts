import { GoogleGenAI, Type } from '@google/genai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { arrivalsAt } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
  sluice.simulator.latency.replace({ firstByteMs: 5, perTokenMs: 1, jitter: 0 });
});
afterAll(() => sluice.stop());

const client = () =>
  new GoogleGenAI({ apiKey: testKey, httpOptions: { baseUrl: sluice.url, apiVersion: 'v1beta' } });
const weather = {
  name: 'weather',
  description: 'The weather',
  parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } } },
};

describe.each(['gpt-5-mini', 'claude-sonnet-5'])('the package of Google, served by %s', (model) => {
  test('generateContent: an answer, and the usage that the provider counted', async () => {
    const answer = await client().models.generateContent({
      model,
      contents: 'Tell me about rivers.',
      config: { maxOutputTokens: 40, systemInstruction: 'Be brief.' },
    });
    const { inputTokens, outputTokens } = arrivalsAt(sluice.simulator).at(-1)!;
    expect(answer.text!.length).toBeGreaterThan(10);
    expect(answer.usageMetadata).toMatchObject({
      promptTokenCount: inputTokens,
      candidatesTokenCount: outputTokens,
    });
  });

  test('generateContentStream: text as it comes, and its usage at the end', async () => {
    const texts: string[] = [];
    let last: unknown;
    const contents = 'Tell me about rivers.';
    for await (const chunk of await client().models.generateContentStream({ model, contents })) {
      if (chunk.text) texts.push(chunk.text);
      last = chunk.usageMetadata;
    }
    expect(texts.length).toBeGreaterThan(10);
    expect(last).toMatchObject({ candidatesTokenCount: arrivalsAt(sluice.simulator).at(-1)!.outputTokens });
  });

  test('a function is called, answered and its answer used', async () => {
    const config = { tools: [{ functionDeclarations: [weather] }] };
    const asked = { role: 'user', parts: [{ text: 'Please call the tool.' }] };
    const answer = await client().models.generateContent({ model, contents: [asked], config });
    const [call] = answer.functionCalls!;
    expect(call).toMatchObject({ name: 'weather', args: { city: 'river' } });
    const result = { functionResponse: { name: 'weather', id: call!.id!, response: { degrees: 21 } } };
    const contents = [asked, answer.candidates![0]!.content!, { role: 'user', parts: [result] }];
    const next = await client().models.generateContent({ model, contents, config });
    expect(next.text!.length).toBeGreaterThan(10);
  });
});
