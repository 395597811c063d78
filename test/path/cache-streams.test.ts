import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  const cache = { mode: 'exact', store_tool_calls: true } as const;
  sluice = await startSluice({ settings: { customers: { acme: { cache } } } });
});
afterAll(() => sluice.stop());
beforeEach(() => sluice.simulator.log.clear());

const openai = () => new OpenAI({ apiKey: testKey, baseURL: `${sluice.url}/v1`, maxRetries: 0 });
const anthropic = () => new Anthropic({ apiKey: testKey, baseURL: sluice.url, maxRetries: 0 });

async function stored(): Promise<number> {
  const { values } = await sluice.metrics.cacheStores.get();
  return values.filter(({ labels }) => labels.result === 'stored').reduce((sum, { value }) => sum + value, 0);
}

/** What a client makes of an answer, without what each request has of its own. */
function plain(value: unknown): object {
  return JSON.parse(JSON.stringify(value), (key, member: unknown) =>
    key === '_request_id' ? undefined : member,
  ) as object;
}

/** Makes a call in one shape, waits until its answer is kept, and makes it in the other: one provider call in all. */
async function inBothShapes(
  first: () => Promise<unknown>,
  second: () => Promise<unknown>,
): Promise<[object, object]> {
  const before = await stored();
  const one = plain(await first());
  await until('the answer is kept', async () => (await stored()) > before);
  const two = plain(await second());
  expect(arrivalsAt(sluice.simulator)).toHaveLength(1);
  expect(JSON.stringify(one).length).toBeGreaterThan(100);
  return [one, two];
}

const parameters = { type: 'object' as const, properties: { city: { type: 'string' } } };
const chatTool = { type: 'function' as const, function: { name: 'weather', parameters } };
const said = (text: string) => [{ role: 'user' as const, content: text }];
const withUsage = { stream_options: { include_usage: true } };

describe.each([
  ['a text', 'Tell me about rivers “ü” 🜁.', false],
  ['a tool call', 'Please call the tool.', true],
])('%s', (_name, text, isTool) => {
  const chatBody = (more: string) => ({
    model: 'gpt-5-mini',
    messages: said(text + more),
    ...(isTool ? { tools: [chatTool] } : {}),
  });
  const chatWhole = (more: string) => openai().chat.completions.create(chatBody(more));
  const chatStream = (more: string) =>
    openai()
      .chat.completions.stream({ ...chatBody(more), ...withUsage })
      .finalChatCompletion();

  test('chat: a whole answer streams to the same completion, usage and all', async () => {
    const [whole, streamed] = await inBothShapes(
      () => chatWhole('a'),
      () => chatStream('a'),
    );
    expect(streamed).toMatchObject(whole);
  });

  test('chat: a stream is the same whole answer, whether its caller asked for usage or not', async () => {
    const [streamed, whole] = await inBothShapes(
      () => chatStream('b'),
      () => chatWhole('b'),
    );
    expect(streamed).toMatchObject(whole);
    sluice.simulator.log.clear();
    const [unasked, counted] = await inBothShapes(
      () => openai().chat.completions.stream(chatBody('c')).finalChatCompletion(),
      () => chatStream('c'),
    );
    expect(counted).toMatchObject(unasked);
    expect((counted as { usage: { total_tokens: number } }).usage.total_tokens).toBeGreaterThan(0);
  });

  const responseBody = (more: string) => ({
    model: 'gpt-5-mini',
    input: text + more,
    ...(isTool ? { tools: [{ type: 'function' as const, name: 'weather', parameters, strict: false }] } : {}),
  });
  const responseWhole = (more: string) => openai().responses.create(responseBody(more));
  const responseStream = async (more: string) => {
    const stream = openai().responses.stream(responseBody(more));
    let deltas = '';
    stream.on('response.output_text.delta', ({ delta }) => (deltas += delta));
    const final = await stream.finalResponse();
    expect(deltas).toBe(final.output_text);
    return final;
  };

  test('responses: either shape makes the other', async () => {
    const [whole, streamed] = await inBothShapes(
      () => responseWhole('a'),
      () => responseStream('a'),
    );
    expect(streamed).toMatchObject(whole);
    const cleared = await fetch(`${sluice.url}/v1/cache`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${testKey}` },
    });
    expect(cleared.status).toBe(200);
    sluice.simulator.log.clear();
    const [first, again] = await inBothShapes(
      () => responseStream('b'),
      () => responseWhole('b'),
    );
    expect(first).toMatchObject(again);
  });

  const messageBody = (more: string) => ({
    model: 'claude-sonnet-5',
    max_tokens: 200,
    messages: said(text + more),
    ...(isTool ? { tools: [{ name: 'weather', input_schema: parameters }] } : {}),
  });
  const messageWhole = (more: string) => anthropic().messages.create(messageBody(more));
  const messageStream = (more: string) => anthropic().messages.stream(messageBody(more)).finalMessage();

  test('messages: either shape makes the other', async () => {
    const [whole, streamed] = await inBothShapes(
      () => messageWhole('a'),
      () => messageStream('a'),
    );
    expect(streamed).toMatchObject(whole);
    sluice.simulator.log.clear();
    const [first, again] = await inBothShapes(
      () => messageStream('b'),
      () => messageWhole('b'),
    );
    expect(first).toMatchObject(again);
  });
});

test('completions: either shape makes the other', async () => {
  const body = (prompt: string) => ({ model: 'gpt-5-mini', prompt });
  const whole = (prompt: string) => openai().completions.create(body(prompt));
  const streamed = async (prompt: string) => {
    const chunks = await openai().completions.create({ ...body(prompt), stream: true, ...withUsage });
    let text = '';
    let last: object = {};
    for await (const chunk of chunks) {
      text += chunk.choices[0]?.text ?? '';
      last = chunk;
    }
    return { text, ...last };
  };
  const [one, replayed] = await inBothShapes(
    () => whole('rivers'),
    () => streamed('rivers'),
  );
  const { id, usage, choices } = one as { id: string; usage: object; choices: { text: string }[] };
  expect(replayed).toMatchObject({ id, usage, text: choices[0]!.text });
  sluice.simulator.log.clear();
  const [first, again] = await inBothShapes(
    () => streamed('lakes'),
    () => whole('lakes'),
  );
  expect(again).toMatchObject({
    choices: [{ text: (first as { text: string }).text, finish_reason: 'stop' }],
  });
});

test('Gemini: either shape makes the other', async () => {
  const google = new GoogleGenAI({
    apiKey: testKey,
    httpOptions: { baseUrl: sluice.url, apiVersion: 'v1beta' },
  });
  const whole = async (contents: string) => {
    const { text, usageMetadata, responseId } = await google.models.generateContent({
      model: 'gpt-5-mini',
      contents,
    });
    return { text, usageMetadata, responseId };
  };
  const streamed = async (contents: string) => {
    const chunks = await google.models.generateContentStream({ model: 'gpt-5-mini', contents });
    let made: Awaited<ReturnType<typeof whole>> | undefined;
    for await (const { text = '', usageMetadata, responseId } of chunks)
      made = { text: (made?.text ?? '') + text, usageMetadata, responseId };
    return made;
  };
  const [one, replayed] = await inBothShapes(
    () => whole('rivers'),
    () => streamed('rivers'),
  );
  expect(replayed).toEqual(one);
  sluice.simulator.log.clear();
  const [first, again] = await inBothShapes(
    () => streamed('lakes'),
    () => whole('lakes'),
  );
  expect(again).toEqual(first);
});
