import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import type { Simulator } from '../../../loadtest/simulator/start-simulator.ts';
import { chat, chatBody, post, start, stopSimulators } from './support.ts';

afterEach(stopSimulators);

const messages = [{ role: 'user' as const, content: 'Hello there' }];
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' }, unit: { enum: ['C', 'F'] } },
};

const openai = (simulator: Simulator, apiKey = 'sk-test-000001') =>
  new OpenAI({ apiKey, baseURL: `${simulator.url}/v1`, maxRetries: 0 });
const anthropic = (simulator: Simulator, apiKey = 'sk-test-000001') =>
  new Anthropic({ apiKey, baseURL: simulator.url, maxRetries: 0 });

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

describe('OpenAI chat completions', () => {
  test('the answer is the same for the same seed and body, and differs for another seed', async () => {
    const [one, same, other] = [await start({ seed: 7 }), await start({ seed: 7 }), await start({ seed: 8 })];
    const ask = async (simulator: Simulator) =>
      (await openai(simulator).chat.completions.create({ model: 'gpt-4o', messages })).choices[0]!.message
        .content;
    const text = await ask(one);
    expect(await ask(one)).toBe(text);
    expect(await ask(same)).toBe(text);
    expect(await ask(other)).not.toBe(text);
  });

  test('usage counts the words of the answer, which the maximum cuts off', async () => {
    const client = openai(await start());
    const free = await client.chat.completions.create({ model: 'gpt-4o', messages });
    const words = free.choices[0]!.message.content!.trim().split(' ').length;
    expect(free.usage!.completion_tokens).toBe(words);
    expect(words).toBeGreaterThanOrEqual(16);
    expect(words).toBeLessThanOrEqual(64);
    expect(free.choices[0]!.finish_reason).toBe('stop');
    for (const limit of [{ max_tokens: 5 }, { max_completion_tokens: 5 }]) {
      const cut = await client.chat.completions.create({ model: 'gpt-4o', messages, ...limit });
      expect(cut.usage!.completion_tokens).toBe(5);
      expect(cut.choices[0]!.finish_reason).toBe('length');
    }
  });

  test('the stream says what the JSON answer says and ends with usage', async () => {
    const client = openai(await start());
    const body = { model: 'gpt-4o', messages, max_tokens: 9 };
    const chunks = await collect(
      await client.chat.completions.create({
        ...body,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    expect(text.trim().split(' ')).toHaveLength(9);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 9 } });
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe('length');
    const without = await collect(await client.chat.completions.create({ ...body, stream: true }));
    expect(without.some((chunk) => chunk.usage)).toBe(false);
  });

  test('a forced tool is called with arguments that fit its schema, as JSON and as a stream', async () => {
    const client = openai(await start());
    const tools = [
      { type: 'function' as const, function: { name: 'other', parameters: {} } },
      { type: 'function' as const, function: { name: 'weather', parameters } },
    ];
    const choice = { type: 'function' as const, function: { name: 'weather' } };
    const body = { model: 'gpt-4o', messages, tools, tool_choice: choice };
    const whole = await client.chat.completions.create(body);
    expect(whole.choices[0]!.finish_reason).toBe('tool_calls');
    const call = whole.choices[0]!.message.tool_calls![0]!;
    if (call.type !== 'function') throw new Error('not a function call');
    expect(call.function.name).toBe('weather');
    expect(JSON.parse(call.function.arguments)).toEqual({ city: 'river', days: 1, unit: 'C' });

    const final = await client.chat.completions.stream(body).finalChatCompletion();
    const streamed = final.choices[0]!.message.tool_calls![0]!;
    expect(streamed).toMatchObject({ type: 'function', function: call.function });
    expect(streamed.id).toMatch(/^call_/);
  });

  test('a tool is called on request, but not again once its result is there', async () => {
    const client = openai(await start());
    const tools = [{ type: 'function' as const, function: { name: 'weather', parameters } }];
    const asking = [{ role: 'user' as const, content: 'Please use the tool.' }];
    const first = await client.chat.completions.create({ model: 'gpt-4o', messages: asking, tools });
    expect(first.choices[0]!.finish_reason).toBe('tool_calls');
    const id = first.choices[0]!.message.tool_calls![0]!.id;
    const answered = [
      ...asking,
      first.choices[0]!.message,
      { role: 'tool' as const, tool_call_id: id, content: 'Use the tool: done' },
    ];
    const second = await client.chat.completions.create({ model: 'gpt-4o', messages: answered, tools });
    expect(second.choices[0]!.finish_reason).toBe('stop');
    const none = await client.chat.completions.create({ model: 'gpt-4o', messages, tools });
    expect(none.choices[0]!.finish_reason).toBe('stop');
  });

  test('an Azure deployment path names the model', async () => {
    const simulator = await start();
    const response = await post(
      simulator,
      '/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21',
      { messages },
      { authorization: '', 'api-key': 'azure-key-1' },
    );
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ model: 'my-gpt' });
  });
});

describe('OpenAI embeddings', () => {
  test('base64 and float give the same vector of about unit length', async () => {
    const client = openai(await start());
    const body = { model: 'text-embedding-3-small', input: ['a', 'b'] };
    const decoded = await client.embeddings.create(body);
    const floats = await client.embeddings.create({ ...body, encoding_format: 'float' });
    expect(decoded.data).toHaveLength(2);
    expect(decoded.data[0]!.embedding).toHaveLength(1536);
    expect(Array.from(decoded.data[1]!.embedding)).toEqual(floats.data[1]!.embedding);
    expect(floats.data[0]!.embedding).not.toEqual(floats.data[1]!.embedding);
    expect(Math.hypot(...floats.data[0]!.embedding)).toBeCloseTo(1, 1);
  });

  test('dimensions are obeyed, and tokens count as tokens', async () => {
    const client = openai(await start());
    const made = await client.embeddings.create({
      model: 'text-embedding-3-large',
      input: [1, 2, 3, 4, 5],
      dimensions: 8,
    });
    expect(made.data[0]!.embedding).toHaveLength(8);
    expect(made.usage).toEqual({ prompt_tokens: 5, total_tokens: 5 });
  });
});

describe('OpenAI responses', () => {
  test('the stream of typed events adds up to the JSON answer', async () => {
    const client = openai(await start());
    const body = { model: 'gpt-4o', input: 'Hello there', max_output_tokens: 6 };
    const whole = await client.responses.create(body);
    expect(whole.output_text.trim().split(' ')).toHaveLength(6);
    expect(whole).toMatchObject({ status: 'incomplete', usage: { output_tokens: 6 } });
    const events = await collect(await client.responses.create({ ...body, stream: true }));
    const text = events
      .map((event) => (event.type === 'response.output_text.delta' ? event.delta : ''))
      .join('');
    expect(events[0]!.type).toBe('response.created');
    const last = events.at(-1)!;
    if (last.type !== 'response.incomplete') throw new Error(`ended with ${last.type}`);
    const [item] = last.response.output;
    expect(item).toMatchObject({ type: 'message', content: [{ text }] });
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
  });

  test('a forced tool becomes a function call', async () => {
    const client = openai(await start());
    const tools = [{ type: 'function' as const, name: 'weather', parameters, strict: false }];
    const made = await client.responses.create({ model: 'm', input: 'x', tools, tool_choice: 'required' });
    expect(made.output[0]).toMatchObject({ type: 'function_call', name: 'weather' });
    const stream = client.responses.stream({ model: 'm', input: 'x', tools, tool_choice: 'required' });
    const [item] = (await stream.finalResponse()).output;
    expect(item).toMatchObject({ type: 'function_call', status: 'completed' });
  });
});

describe('Anthropic messages', () => {
  test('the stream adds up to the JSON answer', async () => {
    const client = anthropic(await start());
    const body = { model: 'claude-sonnet-5', max_tokens: 7, messages };
    const whole = await client.messages.create(body);
    expect(whole).toMatchObject({ stop_reason: 'max_tokens', usage: { output_tokens: 7 } });
    expect(whole.content[0]).toMatchObject({ type: 'text' });
    const final = await client.messages.stream(body).finalMessage();
    expect(final).toMatchObject({ stop_reason: 'max_tokens', usage: { output_tokens: 7 } });
    const [block] = final.content;
    if (block?.type !== 'text') throw new Error('no text');
    expect(block.text.trim().split(' ')).toHaveLength(7);
    const raw = await post(simulatorOf(client), '/v1/messages', { ...body, stream: true });
    const names = [...(await raw.text()).matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
    expect(names).toEqual([
      'message_start',
      'content_block_start',
      'ping',
      ...Array.from({ length: 7 }, () => 'content_block_delta'),
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
  });

  test('a forced tool is used, as JSON and as a stream', async () => {
    const client = anthropic(await start());
    const tools = [{ name: 'weather', input_schema: { ...parameters, type: 'object' as const } }];
    const choice = { type: 'tool' as const, name: 'weather' };
    const body = { model: 'claude-sonnet-5', max_tokens: 99, messages, tools, tool_choice: choice };
    const expected = { type: 'tool_use', name: 'weather', input: { city: 'river', days: 1, unit: 'C' } };
    const whole = await client.messages.create(body);
    expect(whole.stop_reason).toBe('tool_use');
    expect(whole.content[0]).toMatchObject(expected);
    expect((await client.messages.stream(body).finalMessage()).content[0]).toMatchObject(expected);
  });

  test('count_tokens counts what usage counts', async () => {
    const client = anthropic(await start());
    const body = { model: 'claude-sonnet-5', messages, system: 'Be brief.' };
    const counted = await client.messages.countTokens(body);
    const made = await client.messages.create({ ...body, max_tokens: 1 });
    expect(counted.input_tokens).toBe(made.usage.input_tokens);
    const longer = await client.messages.countTokens({ ...body, system: 'Be as brief as you ever can.' });
    expect(longer.input_tokens).toBeGreaterThan(counted.input_tokens);
  });
});

const simulatorOf = (client: Anthropic) => ({ url: client.baseURL }) as Simulator;

describe('errors', () => {
  test('a wrong or missing key is 401 in each dialect', async () => {
    const simulator = await start();
    const body = { model: 'm', messages, max_tokens: 1 };
    await expect(openai(simulator, 'sk-invalid').chat.completions.create(body)).rejects.toMatchObject({
      status: 401,
      code: 'invalid_api_key',
    });
    await expect(anthropic(simulator, 'sk-invalid').messages.create(body)).rejects.toMatchObject({
      status: 401,
      error: { type: 'error', error: { type: 'authentication_error' } },
    });
    expect((await chat(simulator, body, { authorization: '' })).status).toBe(401);
    expect((await post(simulator, '/v1/messages', body, { authorization: '' })).status).toBe(401);
  });

  test('only the given keys are accepted', async () => {
    const simulator = await start({ keys: ['sk-good'] });
    expect((await chat(simulator, chatBody(), { authorization: 'Bearer sk-good' })).status).toBe(200);
    expect((await chat(simulator)).status).toBe(401);
  });

  test('a model that starts with no-such is 404 in each dialect', async () => {
    const simulator = await start();
    const body = { model: 'no-such-model', messages, max_tokens: 1 };
    await expect(openai(simulator).chat.completions.create(body)).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    await expect(anthropic(simulator).messages.create(body)).rejects.toMatchObject({
      status: 404,
      error: { error: { type: 'not_found_error' } },
    });
  });

  test.each([
    ['/v1/chat/completions', '{'],
    ['/v1/chat/completions', '[]'],
    ['/v1/chat/completions', { messages }],
    ['/v1/chat/completions', { model: 'm' }],
    ['/v1/chat/completions', { model: 'm', messages: [] }],
    ['/v1/chat/completions', { model: 'm', messages: ['x'] }],
    ['/v1/chat/completions', { model: 'm', messages, max_tokens: 'many' }],
    ['/v1/embeddings', { model: 'm' }],
    ['/v1/embeddings', { model: 'm', input: [{}] }],
    ['/v1/embeddings', { model: 'm', input: 'x', dimensions: 4000 }],
    ['/v1/responses', { model: 'm' }],
    ['/v1/messages', { model: 'm', messages }],
    ['/v1/messages', { model: 'm', max_tokens: 1 }],
    ['/v1/messages/count_tokens', { messages }],
  ])('%s answers 400 to %j', async (path, body) => {
    const response = await post(await start(), path, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error' } });
  });

  test('an unknown path is 404', async () => {
    expect((await post(await start(), '/v1/unknown', {})).status).toBe(404);
  });

  test('models are listed in each dialect', async () => {
    const simulator = await start();
    expect((await collect(openai(simulator).models.list())).length).toBeGreaterThan(1);
    expect((await collect(anthropic(simulator).models.list())).length).toBeGreaterThan(1);
  });
});
