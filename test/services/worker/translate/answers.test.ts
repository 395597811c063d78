import { describe, expect, test } from 'vitest';
import type { Dialect, Endpoint } from '#shared/contracts/endpoint.ts';
import { answers, asked } from './recorded.ts';
import { type Fields, translated } from './support.ts';

const chat = '/v1/chat/completions';
const messages = '/v1/messages';

const pairs: [Endpoint, Dialect][] = (['openai', 'anthropic', 'gemini', 'bedrock'] as const).flatMap(
  (dialect) =>
    (Object.keys(asked) as Endpoint[])
      .filter((endpoint) => {
        const own = {
          openai: /chat|completions|responses/,
          anthropic: /messages/,
          gemini: /gen/,
          bedrock: /^$/,
        };
        return !own[dialect].test(endpoint);
      })
      .map((endpoint): [Endpoint, Dialect] => [endpoint, dialect]),
);
const nameOf = (endpoint: string) => endpoint.replaceAll(/[^a-zA-Z]+/g, '-').replaceAll(/^-|-$/g, '');

describe.each(pairs)('%s, answered by %s', (endpoint, dialect) => {
  const scene = { endpoint, dialect, body: asked[endpoint]! };
  const golden = `golden/${dialect}-to-${nameOf(endpoint)}`;

  test('a whole answer, with the usage that the provider counted', async () => {
    const { result, text } = await translated({ ...scene, answer: answers[dialect].answer });
    expect(result).toMatchObject({ kind: 'answered', usage: { inputTokens: 60, outputTokens: 40 } });
    await expect(JSON.stringify(JSON.parse(text), undefined, 2)).toMatchFileSnapshot(`${golden}.txt`);
  });

  test('a stream, piece by piece as it comes, with the same usage', async () => {
    const { result, text, pieces } = await translated({ ...scene, events: answers[dialect].events });
    expect(result).toMatchObject({
      kind: 'answered',
      streamed: true,
      usage: { inputTokens: 60, outputTokens: 40 },
    });
    expect(pieces.join('')).toBe(text);
    await expect(text).toMatchFileSnapshot(`${golden}.sse`);
  });
});

describe('an answer that ends in another way', () => {
  const ends = async (
    endpoint: Endpoint,
    dialect: Dialect,
    change: Fields,
    find: (body: Fields) => unknown,
  ) => {
    const { text } = await translated({
      endpoint,
      dialect,
      body: asked[endpoint]!,
      answer: { ...answers[dialect].answer, ...change },
    });
    return find(JSON.parse(text) as Fields);
  };
  const choice = (body: Fields) => (body.choices as Fields[])[0];
  const text = [{ type: 'text', text: 'x' }];

  test.each([
    ['end_turn', 'stop'],
    ['stop_sequence', 'stop'],
    ['max_tokens', 'length'],
    ['refusal', 'content_filter'],
    ['model_context_window_exceeded', 'length'],
    ['pause_turn', 'stop'],
    ['something_new', 'stop'],
  ])('Anthropic’s %s is %s, and stands beside it', async (stop_reason, finish_reason) => {
    const found = await ends(chat, 'anthropic', { content: text, stop_reason }, choice);
    expect(found).toMatchObject({ finish_reason, native_finish_reason: stop_reason });
  });

  test.each([
    ['SAFETY', 'content_filter'],
    ['MAX_TOKENS', 'length'],
    ['STOP', 'stop'],
  ])('Gemini’s %s is %s', async (finishReason, finish_reason) => {
    const candidates = [{ content: { role: 'model', parts: [{ text: 'x' }] }, finishReason }];
    expect(await ends(chat, 'gemini', { candidates }, choice)).toMatchObject({ finish_reason });
  });

  test.each([
    ['stop', 'end_turn'],
    ['length', 'max_tokens'],
    ['content_filter', 'refusal'],
  ])('OpenAI’s %s is %s', async (finish_reason, stop_reason) => {
    const choices = [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason }];
    expect(await ends(messages, 'openai', { choices }, ({ stop_reason }) => stop_reason)).toBe(stop_reason);
  });

  test('OpenAI’s refusal is text, and a refusal', async () => {
    const message = { role: 'assistant', content: null, refusal: 'I must not.' };
    const choices = [{ index: 0, message, finish_reason: 'stop' }];
    expect(await ends(messages, 'openai', { choices }, (body) => body)).toMatchObject({
      content: [{ type: 'text', text: 'I must not.' }],
      stop_reason: 'refusal',
    });
  });
});

describe('what was thought comes back with the next turn', () => {
  test('Anthropic’s signature, through a chat completion', async () => {
    const { text } = await translated({
      endpoint: chat,
      dialect: 'anthropic',
      body: asked[chat]!,
      answer: answers.anthropic.answer,
    });
    const [{ message }] = (JSON.parse(text) as { choices: [{ message: Fields }] }).choices;
    const answer = { role: 'tool', tool_call_id: 'toolu_1', content: '21' };
    const next = { messages: [{ role: 'user', content: 'Hi' }, message, answer], reasoning_effort: 'high' };
    const model = 'claude-sonnet-4-0';
    const { requests } = await translated({
      endpoint: chat,
      dialect: 'anthropic',
      model,
      body: next,
      answer: answers.anthropic.answer,
    });
    expect(requests[0]!.body).toMatchObject({
      thinking: { type: 'enabled' },
      messages: [
        {},
        { content: [{ type: 'thinking', thinking: 'Hm.', signature: 'sig' }, {}, { type: 'tool_use' }] },
        {},
      ],
    });
  });

  test('Gemini’s signature of a call, through a message and through a chat completion', async () => {
    const first = await translated({
      endpoint: messages,
      dialect: 'gemini',
      body: asked[messages]!,
      answer: answers.gemini.answer,
    });
    const { content } = JSON.parse(first.text) as { content: Fields[] };
    const result = { type: 'tool_result', tool_use_id: 'fc_1', content: '21' };
    const turns = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content },
      { role: 'user', content: [result] },
    ];
    const next = await translated({
      endpoint: messages,
      dialect: 'gemini',
      body: { max_tokens: 9, messages: turns },
      answer: answers.gemini.answer,
    });
    expect(JSON.stringify(next.requests[0]!.body)).toContain('"thoughtSignature":"c2ln"');
    const chatted = await translated({
      endpoint: chat,
      dialect: 'gemini',
      body: asked[chat]!,
      answer: answers.gemini.answer,
    });
    const [{ message }] = (JSON.parse(chatted.text) as { choices: [{ message: Fields }] }).choices;
    const body = {
      messages: [
        { role: 'user', content: 'Hi' },
        message,
        { role: 'tool', tool_call_id: 'fc_1', content: '21' },
      ],
    };
    const again = await translated({
      endpoint: chat,
      dialect: 'gemini',
      body,
      answer: answers.gemini.answer,
    });
    expect(JSON.stringify(again.requests[0]!.body)).toContain('"thoughtSignature":"c2ln"');
  });
});
