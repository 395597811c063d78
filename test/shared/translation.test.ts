import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Dialect, Endpoint } from '#shared/contracts/endpoint.ts';
import { errorCatalog } from '#shared/kernel/error-catalog.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { parametersOf } from '#shared/translation/parameters.ts';
import { translateCall } from '#shared/translation/translate-call.ts';
import { holds } from '../harness/property.ts';
import { translated } from '../services/worker/translate/support.ts';

type Fields = Record<string, unknown>;
const chat = '/v1/chat/completions';
const user = { messages: [{ role: 'user', content: 'Hi' }] };
const refusalOf = (endpoint: Endpoint, body: Fields, dialect: Dialect = 'anthropic') => {
  try {
    return { dropped: translateCall(endpoint, body, dialect, 8_192).dropped };
  } catch (error) {
    if (error instanceof SluiceError) return { code: error.code, param: error.param };
    throw error;
  }
};

describe('a parameter without a word in the other dialect', () => {
  test.each([
    [{ n: 2 }, 'n'],
    [{ logprobs: true }, 'logprobs'],
    [{ top_logprobs: 3 }, 'top_logprobs'],
    [{ logit_bias: { 1: 5 } }, 'logit_bias'],
    [{ audio: { voice: 'x' } }, 'audio'],
    [{ modalities: ['text', 'audio'] }, 'modalities'],
    [{ functions: [] }, 'functions'],
    [{ web_search_options: {} }, 'web_search_options'],
    [{ tools: [{ type: 'custom', custom: {} }] }, 'tools.0.type'],
    [
      { messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: {} }] }] },
      'messages.0.content.0',
    ],
  ])('%j is refused', (change, param) => {
    expect(refusalOf(chat, { ...user, ...change })).toEqual({ code: 'not_translatable', param });
  });

  test.each([
    [{ n: 1, logprobs: false, top_logprobs: 0, logit_bias: {}, modalities: ['text'], store: false }, []],
    [
      { seed: 1, presence_penalty: 0.1, frequency_penalty: 0.1 },
      ['frequency_penalty', 'presence_penalty', 'seed'],
    ],
    [{ store: true, service_tier: 'flex', metadata: { a: 'b' } }, ['metadata', 'service_tier', 'store']],
    [
      { verbosity: 'low', not_known_here: 7, temperature: 1.5 },
      ['not_known_here', 'temperature', 'verbosity'],
    ],
    [{ seed: null, not_known_here: null }, []],
  ])('%j leaves out %j', (change, dropped) => {
    expect(refusalOf(chat, { ...user, ...change })).toEqual({ dropped });
  });

  test('who asks, and one tool at a time, are named where the provider cannot be told', () => {
    const tools = [{ type: 'function', function: { name: 'f' } }];
    const body = { ...user, tools, user: 'u', parallel_tool_calls: false };
    expect(refusalOf(chat, body, 'gemini')).toEqual({ dropped: ['parallel_tool_calls', 'user'] });
    expect(refusalOf(chat, body)).toEqual({ dropped: [] });
  });

  test('Bedrock takes a picture inline, and not by its URL', () => {
    const picture = (url: string) => ({
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
    });
    expect(refusalOf(chat, picture('data:image/png;base64,AAAA'), 'bedrock')).toEqual({ dropped: [] });
    expect(refusalOf(chat, picture('https://example.com/a.png'), 'bedrock')).toMatchObject({
      code: 'not_translatable',
    });
    expect(refusalOf(chat, picture('file:///etc/passwd'))).toMatchObject({ code: 'not_translatable' });
  });

  test('an answer to a call of a tool that nobody made is the caller’s mistake', () => {
    const body = { messages: [...user.messages, { role: 'tool', tool_call_id: 'x', content: '1' }] };
    expect(refusalOf(chat, body)).toEqual({ code: 'invalid_request', param: 'messages.1.tool_call_id' });
  });
});

const text = fc.oneof(
  fc.string(),
  fc.constantFrom('', '{}', '{"a":1}', '{broken', 'data:image/png;base64,AAAA', 'https://a.b/c'),
);
const junk = fc.jsonValue({ maxDepth: 3 });
const maybe = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ arbitrary: value, weight: 6 }, { arbitrary: junk, weight: 1 });
const content = maybe(
  fc.oneof(
    text,
    fc.array(
      fc.oneof(
        fc.record({ type: fc.constant('text'), text: maybe(text) }),
        fc.record({ type: fc.constant('image_url'), image_url: maybe(fc.record({ url: text })) }),
        fc.record({ type: fc.constantFrom('tool_result', 'file', 'thinking', 'x'), file: junk }),
      ),
      { maxLength: 3 },
    ),
  ),
);
const toolCalls = fc.array(
  fc.record({
    id: fc.constantFrom('a', 'b'),
    type: fc.constantFrom('function', 'function', 'custom'),
    function: maybe(fc.record({ name: fc.constantFrom('f', 'g'), arguments: maybe(text) })),
  }),
  { maxLength: 2 },
);
const message = fc.oneof(
  fc.record({
    role: fc.constantFrom('user', 'system', 'developer', 'assistant', 'tool', 'function', 'x'),
    content,
  }),
  fc.record({ role: fc.constant('assistant'), content, tool_calls: maybe(toolCalls) }),
  fc.record({ role: fc.constant('tool'), tool_call_id: fc.constantFrom('a', 'b'), content }),
);
const chatBody = fc.record(
  {
    messages: fc.array(message, { minLength: 1, maxLength: 6 }),
    ...Object.fromEntries(
      Object.keys(parametersOf[chat])
        .filter((name) => !['messages', 'model', 'stream', 'stream_options'].includes(name))
        .map((name) => [
          name,
          fc.oneof(junk, fc.constantFrom(1, 0.5, 'auto', 'none', 'high', true, false, null)),
        ]),
    ),
    tools: maybe(
      fc.array(
        fc.record({
          type: fc.constantFrom('function', 'function', 'x'),
          function: maybe(fc.record({ name: fc.constantFrom('f', 'g'), parameters: maybe(junk) })),
        }),
        { maxLength: 2 },
      ),
    ),
  },
  { requiredKeys: ['messages'] },
);

describe('whatever a caller sends', () => {
  const dialects = ['anthropic', 'gemini', 'bedrock'] as const;
  test('is translated, or refused with an error of the catalogue', () =>
    holds(
      1_500,
      fc.property(chatBody, fc.constantFrom(...dialects), (body, dialect) => {
        const refusal = refusalOf(chat, body as Fields, dialect);
        if ('code' in refusal) expect(errorCatalog[refusal.code!].status).toBe(400);
      }),
    ));

  test('a poisoned body ends its own call at the worker, with at most one request', () =>
    holds(
      300,
      fc.asyncProperty(chatBody, fc.constantFrom(...dialects), junk, async (body, dialect, answer) => {
        const { result, requests } = await translated({
          endpoint: chat,
          dialect,
          body: body as Fields,
          answer,
        });
        expect(requests.length).toBeLessThanOrEqual(1);
        expect(['refused', 'invalid', 'answered']).toContain(result.kind);
      }),
    ));

  test('junk in the fields of any endpoint is no crash', () =>
    holds(
      1_500,
      fc.property(
        fc.constantFrom(...(Object.keys(parametersOf) as (keyof typeof parametersOf)[])),
        fc.constantFrom('openai' as const, ...dialects),
        fc.dictionary(fc.constantFrom(...new Set(Object.values(parametersOf).flatMap(Object.keys))), junk),
        (endpoint, dialect, body) => {
          const refusal = refusalOf(endpoint, body, dialect);
          if ('code' in refusal) expect(errorCatalog[refusal.code!].status).toBe(400);
        },
      ),
    ));
});
