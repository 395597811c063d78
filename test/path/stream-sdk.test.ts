import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
  sluice.simulator.latency.replace({ firstByteMs: 5, perTokenMs: 1, jitter: 0 });
});
afterAll(() => sluice.stop());

/** The same client, straight to the provider and through Sluice. */
const doors = () => [sluice.simulator.url, sluice.url] as const;
const openaiAt = (url: string) => new OpenAI({ apiKey: testKey, baseURL: `${url}/v1`, maxRetries: 0 });
const anthropicAt = (url: string) => new Anthropic({ apiKey: testKey, baseURL: url, maxRetries: 0 });

/** Ids and times are those of one request; everything else must be the same. */
function comparable(value: unknown): unknown {
  const text = JSON.stringify(value)
    .replaceAll(/([a-z]+[_-])[0-9a-f]{24}/g, '$1id')
    .replaceAll(/"(created|created_at)":\d+/g, '"$1":0')
    .replaceAll(/"(_request_id|request_id)":"[^"]*"/g, '"$1":""');
  return JSON.parse(text);
}

async function bothWays(read: (url: string) => Promise<unknown>): Promise<void> {
  const [direct, through] = await Promise.all(doors().map(read));
  expect(comparable(through)).toEqual(comparable(direct));
  expect(JSON.stringify(through).length).toBeGreaterThan(100);
}

const parameters = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'array', items: { type: 'integer' } } },
};
const chatTool = { type: 'function' as const, function: { name: 'weather', parameters } };
const messages = [{ role: 'user' as const, content: 'Tell me about rivers.' }];
const askTool = [{ role: 'user' as const, content: 'Please call the tool.' }];
const withUsage = { stream_options: { include_usage: true } };

describe('the openai package', () => {
  test('chat.completions.stream: the same final completion, usage and all', () =>
    bothWays(async (url) => {
      const stream = openaiAt(url).chat.completions.stream({ model: 'gpt-5-mini', messages, ...withUsage });
      return stream.finalChatCompletion();
    }));

  test('chat.completions.stream with a tool call: the same arguments, event by event', () =>
    bothWays(async (url) => {
      const body = { model: 'gpt-5-mini', messages: askTool, tools: [chatTool], ...withUsage };
      const stream = openaiAt(url).chat.completions.stream(body);
      const pieces: string[] = [];
      stream.on('tool_calls.function.arguments.delta', ({ arguments_delta }) => pieces.push(arguments_delta));
      return { completion: await stream.finalChatCompletion(), pieces };
    }));

  test('chat.completions.create({ stream: true }): the same chunks in the same order', () =>
    bothWays(async (url) => {
      const chunks: unknown[] = [];
      const body = { model: 'gpt-5-mini', messages, stream: true as const, ...withUsage };
      for await (const chunk of await openaiAt(url).chat.completions.create(body)) chunks.push(chunk);
      return chunks;
    }));

  test('a caller that does not ask for usage sees none: no chunk of it, and no field', async () => {
    const [direct, through] = await Promise.all(
      doors().map(async (url) => {
        const extra = url === sluice.url ? {} : withUsage;
        const body = { model: 'gpt-5-mini', messages, stream: true as const, ...extra };
        const chunks: Record<string, unknown>[] = [];
        for await (const chunk of await openaiAt(url).chat.completions.create(body))
          chunks.push({ ...chunk });
        return chunks;
      }),
    );
    const unasked = direct!.slice(0, -1).map(({ usage: _usage, ...chunk }) => chunk);
    expect(comparable(through)).toEqual(comparable(unasked));
    expect(through!.some((chunk) => 'usage' in chunk)).toBe(false);
  });

  test('responses.stream: the same events and the same final response', () =>
    bothWays(async (url) => {
      const stream = openaiAt(url).responses.stream({ model: 'gpt-5-mini', input: 'Tell me about rivers.' });
      const events: unknown[] = [];
      for await (const event of stream) events.push(event);
      return { events, response: await stream.finalResponse() };
    }));

  test('responses.stream with a function call: the same events and arguments', () =>
    bothWays(async (url) => {
      const tool = { type: 'function' as const, name: 'weather', parameters, strict: false };
      const body = { model: 'gpt-5-mini', input: 'Please call the tool.', tools: [tool] };
      const events: unknown[] = [];
      for await (const event of openaiAt(url).responses.stream(body)) events.push(event);
      return events;
    }));

  test('completions.create({ stream: true }): the same chunks', () =>
    bothWays(async (url) => {
      const body = { model: 'gpt-5-mini', prompt: 'rivers', stream: true as const, ...withUsage };
      const chunks: unknown[] = [];
      for await (const chunk of await openaiAt(url).completions.create(body)) chunks.push(chunk);
      return chunks;
    }));

  test('responses.create and completions.create without a stream: the same answers', () =>
    bothWays(async (url) => [
      await openaiAt(url).responses.create({ model: 'gpt-5-mini', input: 'rivers' }),
      await openaiAt(url).completions.create({ model: 'gpt-5-mini', prompt: 'rivers' }),
    ]));
});

describe('the @anthropic-ai/sdk package', () => {
  const body = { model: 'claude-sonnet-5', max_tokens: 100, messages };

  test('messages.stream: the same events and the same final message', () =>
    bothWays(async (url) => {
      const stream = anthropicAt(url).messages.stream(body);
      const events: unknown[] = [];
      stream.on('streamEvent', (event) => events.push(structuredClone(event)));
      return { message: await stream.finalMessage(), events };
    }));

  test('messages.stream with a tool: the same input', () =>
    bothWays(async (url) => {
      const tools = [{ name: 'weather', input_schema: { ...parameters, type: 'object' as const } }];
      return anthropicAt(url)
        .messages.stream({ ...body, messages: askTool, tools })
        .finalMessage();
    }));
});
