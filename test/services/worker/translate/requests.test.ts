import { describe, expect, test } from 'vitest';
import type { Dialect, Endpoint } from '#shared/contracts/endpoint.ts';
import { type Fields, translated } from './support.ts';

const chat = '/v1/chat/completions';
const messages = '/v1/messages';
const gemini = '/v1beta/models/{model}:generateContent';
const responses = '/v1/responses';

const empty: Record<Dialect, Fields> = {
  openai: { choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }] },
  anthropic: {
    type: 'message',
    role: 'assistant',
    id: 'msg_1',
    model: 'm',
    content: [{ type: 'text', text: 'ok' }],
    stop_reason: 'end_turn',
    usage: { input_tokens: 1, output_tokens: 1 },
  },
  gemini: { candidates: [{ content: { role: 'model', parts: [{ text: 'ok' }] }, finishReason: 'STOP' }] },
  bedrock: {
    output: { message: { role: 'assistant', content: [{ text: 'ok' }] } },
    stopReason: 'end_turn',
    usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 },
  },
};

/** The one request that a call becomes. */
async function sent(endpoint: Endpoint, dialect: Dialect, body: Fields, model?: string): Promise<Fields> {
  const scene = { endpoint, dialect, body, answer: empty[dialect], ...(model ? { model } : {}) };
  const { requests, result } = await translated(scene);
  expect(result).toMatchObject({ kind: 'answered' });
  expect(requests).toHaveLength(1);
  expect(requests[0]!.headers).not.toHaveProperty('openai-beta');
  return requests[0]!.body;
}

const weather = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'The weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const call = (id: string, city: string) => ({
  id,
  type: 'function',
  function: { name: 'weather', arguments: JSON.stringify({ city }) },
});
const pixel =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** A conversation that has everything: systems in two places, a picture, two tools at once, their answers, and more. */
const conversation = {
  messages: [
    { role: 'system', content: 'Be brief.' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is this?' },
        { type: 'image_url', image_url: { url: `data:image/png;base64,${pixel}` } },
      ],
    },
    { role: 'assistant', content: 'Let me see.', tool_calls: [call('a', 'Oslo'), call('b', 'Bergen')] },
    { role: 'tool', tool_call_id: 'a', content: '21' },
    { role: 'tool', tool_call_id: 'b', content: [{ type: 'text', text: '17' }] },
    { role: 'developer', content: 'In Celsius.' },
    { role: 'user', content: 'And now?' },
  ],
  tools: [weather],
  tool_choice: 'required',
  parallel_tool_calls: false,
  max_completion_tokens: 300,
  temperature: 0.5,
  top_p: 0.9,
  stop: ['END', 'STOP'],
  user: 'u-1',
};

describe('a chat completion', () => {
  for (const dialect of ['anthropic', 'gemini', 'bedrock'] as const)
    test(`with tools, answers, pictures and systems, for ${dialect}`, async () => {
      const body = await sent(chat, dialect, conversation);
      await expect(JSON.stringify(body, undefined, 2)).toMatchFileSnapshot(`golden/chat-to-${dialect}.txt`);
    });

  test('for Anthropic: answers of tools stand in one user message right after the calls', async () => {
    const { messages: turns, system } = await sent(chat, 'anthropic', conversation);
    const list = turns as { role: string; content: { type: string; tool_use_id?: string }[] }[];
    expect(list.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
    expect(list[2]!.content.map(({ type, tool_use_id }) => [type, tool_use_id])).toEqual([
      ['tool_result', 'a'],
      ['tool_result', 'b'],
      ['text', undefined],
    ]);
    expect(JSON.stringify(system)).toContain('Be brief.\\n\\nIn Celsius.');
  });

  test('for Anthropic and Bedrock: a maximum is named when the caller names none', async () => {
    const body = { messages: [{ role: 'user', content: 'Hi' }] };
    expect(await sent(chat, 'anthropic', body)).toMatchObject({ max_tokens: 8_192 });
    expect(await sent(chat, 'bedrock', body)).toMatchObject({ inferenceConfig: { maxTokens: 8_192 } });
    expect(JSON.stringify(await sent(chat, 'gemini', body))).not.toContain('maxOutputTokens');
  });

  test('every choice of tool has its word in every dialect', async () => {
    const one = { type: 'function', function: { name: 'weather' } };
    const choices = ['auto', 'none', 'required', one];
    const said = async (dialect: Dialect, find: (body: Fields) => unknown) => {
      const bodies = choices.map((tool_choice) =>
        sent(chat, dialect, { ...conversation, parallel_tool_calls: true, tool_choice }),
      );
      return (await Promise.all(bodies)).map(find);
    };
    const anthropic = await said(
      'anthropic',
      ({ tool_choice, tools }) => (tool_choice as Fields)?.type ?? tools,
    );
    expect(anthropic).toMatchObject(['auto', 'none', 'any', 'tool']);
    const google = await said(
      'gemini',
      ({ toolConfig }) => (toolConfig as Fields | undefined)?.functionCallingConfig,
    );
    expect(google).toMatchObject([
      { mode: 'AUTO' },
      { mode: 'NONE' },
      { mode: 'ANY' },
      { mode: 'ANY', allowedFunctionNames: ['weather'] },
    ]);
  });

  test('a schema for JSON goes over; without one Anthropic is asked in words', async () => {
    const user = { messages: [{ role: 'user', content: 'Hi' }] };
    const schema = { type: 'object', properties: { a: { type: 'string' } }, additionalProperties: false };
    const json_schema = { name: 'out', schema, strict: true };
    const strict = { ...user, response_format: { type: 'json_schema', json_schema } };
    const body = await sent(chat, 'anthropic', strict, 'claude-sonnet-5');
    expect(body.output_config).toMatchObject({ format: { type: 'json_schema', schema } });
    expect(await sent(chat, 'gemini', strict)).toMatchObject({
      generationConfig: { responseMimeType: 'application/json' },
    });
    const loose = { ...user, response_format: { type: 'json_object' } };
    expect(JSON.stringify((await sent(chat, 'anthropic', loose)).system)).toContain('one JSON object');
  });

  test('effort becomes thinking, and its budget stays inside the maximum', async () => {
    const user = { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 3_000, reasoning_effort: 'high' };
    const body = await sent(chat, 'anthropic', user, 'claude-sonnet-4-0');
    expect(body.thinking).toMatchObject({ type: 'enabled', budget_tokens: 1_500 });
    expect(body.max_tokens).toBe(3_000);
    const small = await sent(chat, 'anthropic', { ...user, max_tokens: 900 }, 'claude-sonnet-4-0');
    expect(small).not.toHaveProperty('thinking');
    expect(small.max_tokens).toBe(900);
  });

  test('a turn of tools whose thoughts are lost goes on without thinking', async () => {
    const turns = conversation.messages.slice(0, 5);
    const body = { messages: turns, tools: [weather], reasoning_effort: 'high' };
    expect(await sent(chat, 'anthropic', body, 'claude-sonnet-4-0')).not.toHaveProperty('thinking');
  });
});

describe('an Anthropic message', () => {
  const body = {
    system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
    max_tokens: 300,
    stop_sequences: ['END'],
    metadata: { user_id: 'u-1' },
    tools: [{ name: 'weather', description: 'The weather', input_schema: weather.function.parameters }],
    tool_choice: { type: 'any', disable_parallel_tool_use: true },
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: pixel } },
          { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
          { type: 'text', text: 'What is this?' },
        ],
      },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'Hm.', signature: 'foreign' },
          { type: 'text', text: 'Let me see.' },
          { type: 'tool_use', id: 'a', name: 'weather', input: { city: 'Oslo' } },
        ],
      },
      {
        role: 'user',
        content: [
          {
            type: 'tool_result',
            tool_use_id: 'a',
            content: [{ type: 'text', text: 'none' }],
            is_error: true,
          },
          { type: 'text', text: 'Well?' },
        ],
      },
    ],
  };

  for (const dialect of ['openai', 'gemini'] as const)
    test(`with tools, answers, pictures and thinking, for ${dialect}`, async () => {
      const request = await sent(messages, dialect, body);
      await expect(JSON.stringify(request, undefined, 2)).toMatchFileSnapshot(
        `golden/message-to-${dialect}.txt`,
      );
    });

  test('for Bedrock with bytes, and without addresses', async () => {
    const [first, ...rest] = body.messages;
    const content = (first!.content as Fields[]).filter(
      ({ source }) => (source as Fields | undefined)?.type !== 'url',
    );
    const request = await sent(messages, 'bedrock', { ...body, messages: [{ ...first, content }, ...rest] });
    await expect(JSON.stringify(request, undefined, 2)).toMatchFileSnapshot(`golden/message-to-bedrock.txt`);
  });
});

describe('a Gemini call', () => {
  const body = {
    systemInstruction: { parts: [{ text: 'Be brief.' }] },
    contents: [
      { role: 'user', parts: [{ text: 'Hi' }, { inlineData: { mimeType: 'image/png', data: pixel } }] },
      { role: 'model', parts: [{ functionCall: { name: 'weather', args: { city: 'Oslo' } } }] },
      { role: 'user', parts: [{ functionResponse: { name: 'weather', response: { degrees: 21 } } }] },
    ],
    tools: [
      {
        functionDeclarations: [
          { name: 'weather', parameters: { type: 'OBJECT', properties: { city: { type: 'STRING' } } } },
        ],
      },
    ],
    generationConfig: { maxOutputTokens: 200, temperature: 0.1, stopSequences: ['END'] },
  };
  for (const dialect of ['openai', 'anthropic'] as const)
    test(`with tools, answers and pictures, for ${dialect}`, async () => {
      const request = await sent(gemini, dialect, body);
      await expect(JSON.stringify(request, undefined, 2)).toMatchFileSnapshot(
        `golden/gemini-to-${dialect}.txt`,
      );
    });
});

describe('an OpenAI response', () => {
  const body = {
    instructions: 'Be brief.',
    input: [
      { role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
      { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'Hm.' }] },
      { type: 'function_call', call_id: 'a', name: 'weather', arguments: '{"city":"Oslo"}' },
      { type: 'function_call_output', call_id: 'a', output: '21' },
    ],
    tools: [{ type: 'function', name: 'weather', parameters: weather.function.parameters, strict: true }],
    max_output_tokens: 300,
  };
  for (const dialect of ['anthropic', 'gemini'] as const)
    test(`with a call and its output, for ${dialect}`, async () => {
      const request = await sent(responses, dialect, body);
      await expect(JSON.stringify(request, undefined, 2)).toMatchFileSnapshot(
        `golden/response-to-${dialect}.txt`,
      );
    });
});

test('a model that is not OpenAI’s own is asked as its hosts want it, and what it thought is thinking', async () => {
  const message = { role: 'assistant', content: 'ok', reasoning_content: 'Hm.' };
  const { requests, text } = await translated({
    endpoint: messages,
    dialect: 'openai',
    model: 'deepseek-v4-pro',
    body: { max_tokens: 50, metadata: { user_id: 'u' }, messages: [{ role: 'user', content: 'Hi' }] },
    answer: { choices: [{ index: 0, message, finish_reason: 'stop' }] },
  });
  expect(requests[0]!.body).toEqual({
    model: 'deepseek-v4-pro',
    user: 'u',
    max_tokens: 50,
    messages: [{ role: 'user', content: 'Hi' }],
  });
  expect(JSON.parse(text)).toMatchObject({
    content: [
      { type: 'thinking', thinking: 'Hm.' },
      { type: 'text', text: 'ok' },
    ],
  });
});

test('an OpenAI model that reasons is given the maximum by its new name, and no temperature: the caller is told', async () => {
  const body = { max_tokens: 50, temperature: 0.5, messages: [{ role: 'user', content: 'Hi' }] };
  const scene = { endpoint: messages, dialect: 'openai', model: 'gpt-5-mini', body } as const;
  const { requests, result } = await translated({ ...scene, answer: empty.openai });
  expect(requests[0]!.body).toMatchObject({ max_completion_tokens: 50 });
  expect(requests[0]!.body).not.toHaveProperty('max_tokens');
  expect(requests[0]!.body).not.toHaveProperty('temperature');
  expect(result).toMatchObject({ response: { headers: { 'x-sluice-dropped-params': 'temperature' } } });
});
