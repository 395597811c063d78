import { describe, expect, test } from 'vitest';
import type { Dialect, Endpoint } from '#shared/contracts/endpoint.ts';
import { TransportError } from '../../../../services/worker/http/transport-error.ts';
import { dataOf, type Fields, type Scene, sse, translated } from './support.ts';

const asked: Record<string, Fields> = {
  '/v1/chat/completions': {
    messages: [{ role: 'user', content: 'Hi' }],
    stream_options: { include_usage: true },
  },
  '/v1/completions': { prompt: 'Hi', stream_options: { include_usage: true } },
  '/v1/responses': { input: 'Hi' },
  '/v1/messages': { max_tokens: 100, messages: [{ role: 'user', content: 'Hi' }] },
  '/v1beta/models/{model}:generateContent': { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] },
};
const chat = '/v1/chat/completions';
const messages = '/v1/messages';

/** Answers with thinking, text, a call of a tool, and every part of usage: whole, and the same as a stream. */
const answers: Record<Dialect, { answer: Fields; events: string[] }> = {
  anthropic: {
    answer: {
      type: 'message',
      id: 'msg_1',
      role: 'assistant',
      model: 'claude-x',
      content: [
        { type: 'thinking', thinking: 'Hm.', signature: 'sig' },
        { type: 'text', text: 'Let me see.' },
        { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Oslo' } },
      ],
      stop_reason: 'tool_use',
      stop_sequence: null,
      usage: {
        input_tokens: 10,
        cache_creation_input_tokens: 20,
        cache_read_input_tokens: 30,
        output_tokens: 40,
      },
    },
    events: sse(
      {
        type: 'message_start',
        message: {
          type: 'message',
          id: 'msg_1',
          role: 'assistant',
          model: 'claude-x',
          content: [],
          stop_reason: null,
          usage: {
            input_tokens: 10,
            cache_creation_input_tokens: 20,
            cache_read_input_tokens: 30,
            output_tokens: 1,
          },
        },
      },
      {
        type: 'content_block_start',
        index: 0,
        content_block: { type: 'thinking', thinking: '', signature: '' },
      },
      { type: 'ping' },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Hm.' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'sig' } },
      { type: 'content_block_stop', index: 0 },
      { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'Let me' } },
      { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: ' see.' } },
      { type: 'content_block_stop', index: 1 },
      {
        type: 'content_block_start',
        index: 2,
        content_block: { type: 'tool_use', id: 'toolu_1', name: 'weather', input: {} },
      },
      {
        type: 'content_block_delta',
        index: 2,
        delta: { type: 'input_json_delta', partial_json: '{"city":' },
      },
      { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '"Oslo"}' } },
      { type: 'content_block_stop', index: 2 },
      {
        type: 'message_delta',
        delta: { stop_reason: 'tool_use', stop_sequence: null },
        usage: { output_tokens: 40 },
      },
      { type: 'message_stop' },
    ),
  },
  openai: {
    answer: {
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 1_700_000_000,
      model: 'gpt-x',
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: 'Let me see.',
            tool_calls: [
              { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
            ],
          },
          finish_reason: 'tool_calls',
        },
      ],
      usage: {
        prompt_tokens: 60,
        completion_tokens: 40,
        total_tokens: 100,
        prompt_tokens_details: { cached_tokens: 30 },
        completion_tokens_details: { reasoning_tokens: 15 },
      },
    },
    events: [
      ...sse(
        ...[
          { delta: { role: 'assistant', content: '' }, finish_reason: null },
          { delta: { content: 'Let me' }, finish_reason: null },
          { delta: { content: ' see.' }, finish_reason: null },
          {
            delta: {
              tool_calls: [
                { index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } },
              ],
            },
            finish_reason: null,
          },
          { delta: { tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] }, finish_reason: null },
          { delta: { tool_calls: [{ index: 0, function: { arguments: '"Oslo"}' } }] }, finish_reason: null },
          { delta: {}, finish_reason: 'tool_calls' },
        ].map((choice) => ({
          id: 'chatcmpl-1',
          object: 'chat.completion.chunk',
          created: 1_700_000_000,
          model: 'gpt-x',
          choices: [{ index: 0, ...choice }],
          usage: null,
        })),
        {
          id: 'chatcmpl-1',
          object: 'chat.completion.chunk',
          created: 1_700_000_000,
          model: 'gpt-x',
          choices: [],
          usage: {
            prompt_tokens: 60,
            completion_tokens: 40,
            total_tokens: 100,
            prompt_tokens_details: { cached_tokens: 30 },
            completion_tokens_details: { reasoning_tokens: 15 },
          },
        },
      ),
      'data: [DONE]\n\n',
    ],
  },
  gemini: {
    answer: {
      candidates: [
        {
          content: {
            role: 'model',
            parts: [
              { text: 'Hm.', thought: true },
              { text: 'Let me see.' },
              {
                functionCall: { id: 'fc_1', name: 'weather', args: { city: 'Oslo' } },
                thoughtSignature: 'c2ln',
              },
            ],
          },
          finishReason: 'STOP',
          index: 0,
        },
      ],
      usageMetadata: {
        promptTokenCount: 60,
        cachedContentTokenCount: 30,
        candidatesTokenCount: 25,
        thoughtsTokenCount: 15,
        totalTokenCount: 100,
      },
      modelVersion: 'gemini-x',
      responseId: 'r1',
    },
    events: sse(
      ...[
        { parts: [{ text: 'Hm.', thought: true }] },
        { parts: [{ text: 'Let me' }] },
        { parts: [{ text: ' see.' }] },
        {
          parts: [
            {
              functionCall: { id: 'fc_1', name: 'weather', args: { city: 'Oslo' } },
              thoughtSignature: 'c2ln',
            },
          ],
        },
      ].map((content) => ({
        candidates: [{ content: { role: 'model', ...content }, index: 0 }],
        modelVersion: 'gemini-x',
      })),
      {
        candidates: [{ content: { role: 'model', parts: [{ text: '' }] }, finishReason: 'STOP', index: 0 }],
        usageMetadata: {
          promptTokenCount: 60,
          cachedContentTokenCount: 30,
          candidatesTokenCount: 25,
          thoughtsTokenCount: 15,
          totalTokenCount: 100,
        },
        modelVersion: 'gemini-x',
      },
    ),
  },
  bedrock: {
    answer: {
      output: {
        message: {
          role: 'assistant',
          content: [
            { reasoningContent: { reasoningText: { text: 'Hm.', signature: 'sig' } } },
            { text: 'Let me see.' },
            { toolUse: { toolUseId: 'tooluse_1', name: 'weather', input: { city: 'Oslo' } } },
          ],
        },
      },
      stopReason: 'tool_use',
      usage: {
        inputTokens: 10,
        cacheReadInputTokens: 30,
        cacheWriteInputTokens: 20,
        outputTokens: 40,
        totalTokens: 100,
      },
      metrics: { latencyMs: 1 },
    },
    events: sse(
      { messageStart: { role: 'assistant' } },
      { contentBlockDelta: { contentBlockIndex: 0, delta: { reasoningContent: { text: 'Hm.' } } } },
      { contentBlockDelta: { contentBlockIndex: 0, delta: { reasoningContent: { signature: 'sig' } } } },
      { contentBlockStop: { contentBlockIndex: 0 } },
      { contentBlockDelta: { contentBlockIndex: 1, delta: { text: 'Let me' } } },
      { contentBlockDelta: { contentBlockIndex: 1, delta: { text: ' see.' } } },
      { contentBlockStop: { contentBlockIndex: 1 } },
      {
        contentBlockStart: {
          contentBlockIndex: 2,
          start: { toolUse: { toolUseId: 'tooluse_1', name: 'weather' } },
        },
      },
      { contentBlockDelta: { contentBlockIndex: 2, delta: { toolUse: { input: '{"city":' } } } },
      { contentBlockDelta: { contentBlockIndex: 2, delta: { toolUse: { input: '"Oslo"}' } } } },
      { contentBlockStop: { contentBlockIndex: 2 } },
      { messageStop: { stopReason: 'tool_use' } },
      {
        metadata: {
          usage: {
            inputTokens: 10,
            cacheReadInputTokens: 30,
            cacheWriteInputTokens: 20,
            outputTokens: 40,
            totalTokens: 100,
          },
          metrics: { latencyMs: 1 },
        },
      },
    ),
  },
};

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

describe('a provider that fails', () => {
  const scene: Scene = { endpoint: chat, dialect: 'anthropic', body: asked[chat]! };

  test('a 429 is classified by what it sent, asked once, and told in the caller’s dialect', async () => {
    const { result, requests, text } = await translated({
      ...scene,
      status: 429,
      headers: { 'retry-after': '7' },
      answer: { type: 'error', error: { type: 'rate_limit_error', message: 'Slow.' } },
    });
    expect(requests).toHaveLength(1);
    expect(result).toMatchObject({
      kind: 'refused',
      class: 'quota',
      retryAfterMs: 7_000,
      countsAsAttempt: false,
    });
    expect(JSON.parse(text)).toEqual({
      error: { message: 'Slow.', type: 'rate_limit_error', param: null, code: 'rate_limit_error' },
    });
  });

  test('an error that is the first event of a stream is a refusal that may be tried again', async () => {
    const events = sse({ type: 'error', error: { type: 'overloaded_error', message: 'Busy.' } });
    const { result, pieces } = await translated({ ...scene, events });
    expect(result).toMatchObject({ kind: 'refused', class: 'capacity', retryable: true });
    expect(pieces).toEqual([]);
  });

  test('an error inside a stream ends it with an error event of the caller’s dialect', async () => {
    const error = { type: 'error', error: { type: 'overloaded_error', message: 'Busy.' } };
    const { result, text } = await translated({
      ...scene,
      events: [...answers.anthropic.events.slice(0, 9), ...sse(error)],
    });
    expect(result).toMatchObject({ kind: 'cut', code: null, usage: { inputTokens: 60 } });
    expect(dataOf(text).at(-1)).toMatchObject({ error: { message: 'Busy.' } });
    expect(text).not.toContain('[DONE]');
  });

  test('a connection that breaks inside a stream cuts it, and what came is charged', async () => {
    const broken = new TransportError('broken', 'reset');
    const { result, text } = await translated({
      ...scene,
      broken,
      events: answers.anthropic.events.slice(0, 9),
    });
    expect(result).toMatchObject({ kind: 'cut', code: 'provider_stream_cut' });
    expect(dataOf(text).at(-1)).toMatchObject({ error: { code: 'provider_stream_cut' } });
  });

  test('a 200 of another form is no answer', async () => {
    const { result } = await translated({ ...scene, answer: { hello: 1 } });
    expect(result).toMatchObject({ kind: 'invalid', code: 'provider_invalid_response' });
    const half = { ...answers.anthropic.answer, usage: 'none' };
    expect((await translated({ ...scene, answer: half })).result).toMatchObject({ kind: 'invalid' });
  });

  test('a call that asks on by itself is not let: one attempt is one request', async () => {
    const candidates = [{ content: { role: 'model', parts: [{ text: 'x' }] }, finishReason: 'CONTINUATION' }];
    const answer = { ...answers.gemini.answer, candidates };
    const { requests } = await translated({ ...scene, dialect: 'gemini', model: 'gemini-4-pro', answer });
    expect(requests).toHaveLength(1);
  });

  test('what this provider cannot be told ends the call with a 400 in the caller’s dialect', async () => {
    const { result, requests, text } = await translated({ ...scene, body: { ...asked[chat], n: 2 } });
    expect(requests).toEqual([]);
    expect(result).toMatchObject({ kind: 'refused', class: 'rejected', retryable: false });
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'not_translatable', param: 'n' } });
  });
});
