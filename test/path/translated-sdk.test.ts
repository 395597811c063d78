import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { arrivalsAt, jobOf } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
  sluice.simulator.latency.replace({ firstByteMs: 5, perTokenMs: 1, jitter: 0 });
});
afterAll(() => sluice.stop());

const openaiAt = (url = sluice.url) => new OpenAI({ apiKey: testKey, baseURL: `${url}/v1`, maxRetries: 0 });
const anthropicAt = (url = sluice.url) => new Anthropic({ apiKey: testKey, baseURL: url, maxRetries: 0 });

const claude = 'claude-sonnet-5';
const gpt = 'gpt-5-mini';
const parameters = {
  type: 'object' as const,
  properties: { city: { type: 'string' }, days: { type: 'array', items: { type: 'integer' } } },
};
const said = 'Tell me about rivers.';
const askTool = 'Please call the tool.';
const result = '{"degrees": 21}';

/** What the provider's own log says of the last call: the bill. */
function lastBill() {
  const { inputTokens, outputTokens, path } = arrivalsAt(sluice.simulator).at(-1)!;
  return { inputTokens, outputTokens, path };
}

describe('the openai package, served by a provider that speaks Anthropic', () => {
  const chatTool = { type: 'function' as const, function: { name: 'weather', parameters } };

  test('chat.completions.create: an answer, and the usage that the provider counted', async () => {
    const { data, response } = await openaiAt()
      .chat.completions.create({ model: claude, messages: [{ role: 'user', content: said }], seed: 7 })
      .withResponse();
    const bill = lastBill();
    expect(bill.path).toBe('/v1/messages');
    expect(data.object).toBe('chat.completion');
    expect(data.choices[0]).toMatchObject({ finish_reason: 'stop', message: { role: 'assistant' } });
    expect(data.choices[0]!.message.content!.length).toBeGreaterThan(10);
    expect(data.usage).toMatchObject({
      prompt_tokens: bill.inputTokens,
      completion_tokens: bill.outputTokens,
    });
    expect(response.headers.get('x-sluice-dropped-params')).toBe('seed');
    const job = await jobOf(sluice, response.headers.get('x-sluice-job-id')!);
    expect(job.usage).toMatchObject({ input_tokens: bill.inputTokens, output_tokens: bill.outputTokens });
  });

  test('chat.completions.stream: the same completion as the whole one, token for token', async () => {
    const body = { model: claude, messages: [{ role: 'user' as const, content: said }], max_tokens: 40 };
    const whole = await openaiAt().chat.completions.create(body);
    const stream = openaiAt().chat.completions.stream({ ...body, stream_options: { include_usage: true } });
    const deltas: string[] = [];
    stream.on('content', (delta) => deltas.push(delta));
    const streamed = await stream.finalChatCompletion();
    expect(deltas.length).toBeGreaterThan(10);
    expect(streamed.choices[0]!.finish_reason).toBe(whole.choices[0]!.finish_reason);
    expect(streamed.choices[0]!.message.content!.length).toBeGreaterThan(10);
    expect(streamed.usage).toMatchObject({ completion_tokens: lastBill().outputTokens });
  });

  test('a caller that does not ask for usage in a stream sees none', async () => {
    const body = {
      model: claude,
      messages: [{ role: 'user' as const, content: said }],
      stream: true as const,
    };
    const chunks = [];
    for await (const chunk of await openaiAt().chat.completions.create(body)) chunks.push(chunk);
    expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe('stop');
  });

  test('a tool is called, answered and its answer used: whole and streamed', async () => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: askTool }];
    const body = { model: claude, messages, tools: [chatTool] };
    const { choices } = await openaiAt().chat.completions.create(body);
    expect(choices[0]!.finish_reason).toBe('tool_calls');
    const stream = openaiAt().chat.completions.stream(body);
    const streamed = await stream.finalChatCompletion();
    const [call] = streamed.choices[0]!.message.tool_calls as OpenAI.ChatCompletionMessageFunctionToolCall[];
    expect(call).toMatchObject({ type: 'function', function: { name: 'weather' } });
    expect(JSON.parse(call!.function.arguments)).toEqual({ city: 'river', days: [1] });
    const whole = choices[0]!.message.tool_calls![0] as { function: unknown };
    expect(call!.function).toMatchObject(whole.function as object);
    messages.push(streamed.choices[0]!.message, { role: 'tool', tool_call_id: call!.id, content: result });
    const answer = await openaiAt().chat.completions.create(body);
    expect(answer.choices[0]!.finish_reason).toBe('stop');
  });

  test('responses.create and responses.stream: typed events that the package puts together again', async () => {
    const whole = await openaiAt().responses.create({ model: claude, input: said });
    expect(whole.output_text.length).toBeGreaterThan(10);
    expect(whole.usage).toMatchObject({ output_tokens: lastBill().outputTokens });
    const stream = openaiAt().responses.stream({ model: claude, input: said });
    const types = new Set<string>();
    for await (const event of stream) types.add(event.type);
    const final = await stream.finalResponse();
    expect(final.output_text.length).toBeGreaterThan(10);
    expect(final.status).toBe('completed');
    expect([...types]).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
  });

  test('responses.stream with a function call, and its output given back', async () => {
    const tool = { type: 'function' as const, name: 'weather', parameters, strict: false };
    const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: askTool }];
    const stream = openaiAt().responses.stream({ model: claude, input, tools: [tool] });
    const { output } = await stream.finalResponse();
    const call = output[0] as OpenAI.Responses.ResponseFunctionToolCall;
    expect(call).toMatchObject({ type: 'function_call', name: 'weather', status: 'completed' });
    expect(JSON.parse(call.arguments)).toEqual({ city: 'river', days: [1] });
    input.push(call, { type: 'function_call_output', call_id: call.call_id, output: result });
    const answer = await openaiAt().responses.create({ model: claude, input, tools: [tool] });
    expect(answer.output_text.length).toBeGreaterThan(10);
  });

  test('completions: whole and streamed', async () => {
    const body = { model: claude, prompt: said, max_tokens: 20 };
    const whole = await openaiAt().completions.create(body);
    expect(whole.choices[0]!.text.length).toBeGreaterThan(10);
    let text = '';
    for await (const chunk of await openaiAt().completions.create({ ...body, stream: true }))
      text += chunk.choices[0]?.text ?? '';
    expect(text.length).toBeGreaterThan(10);
  });
});

describe('the Anthropic package, served by a provider that speaks OpenAI', () => {
  const tool = { name: 'weather', description: 'The weather', input_schema: parameters };

  test('messages.create: an answer, and the usage that the provider counted', async () => {
    const body = { model: gpt, max_tokens: 50, messages: [{ role: 'user' as const, content: said }] };
    const { data, response } = await anthropicAt()
      .messages.create({ ...body, ...({ top_k: 4 } as object) })
      .withResponse();
    const bill = lastBill();
    expect(bill.path).toBe('/v1/chat/completions');
    expect(data).toMatchObject({ type: 'message', role: 'assistant', stop_sequence: null });
    expect(data.content[0]).toMatchObject({ type: 'text' });
    expect(data.usage).toMatchObject({ input_tokens: bill.inputTokens, output_tokens: bill.outputTokens });
    expect(response.headers.get('x-sluice-dropped-params')).toBe('top_k');
  });

  test('messages.stream: text as it comes, and the final message with its usage', async () => {
    const body = { model: gpt, max_tokens: 50, messages: [{ role: 'user' as const, content: said }] };
    const stream = anthropicAt().messages.stream(body);
    const deltas: string[] = [];
    stream.on('text', (delta) => deltas.push(delta));
    const message = await stream.finalMessage();
    const bill = lastBill();
    expect(deltas.length).toBeGreaterThan(10);
    expect(message.content).toEqual([{ type: 'text', text: deltas.join('') }]);
    expect(message.usage).toMatchObject({ input_tokens: bill.inputTokens, output_tokens: bill.outputTokens });
  });

  test('a tool is used, answered and its answer used: whole and streamed', async () => {
    const messages: Anthropic.MessageParam[] = [{ role: 'user', content: askTool }];
    const body = { model: gpt, max_tokens: 100, messages, tools: [tool] };
    const whole = await anthropicAt().messages.create(body);
    expect(whole.stop_reason).toBe('tool_use');
    const message = await anthropicAt().messages.stream(body).finalMessage();
    expect(message.stop_reason).toBe('tool_use');
    const [use] = message.content as [Anthropic.ToolUseBlock];
    expect(use).toMatchObject({ type: 'tool_use', name: 'weather', input: { city: 'river', days: [1] } });
    messages.push(
      { role: 'assistant', content: message.content },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: result }] },
    );
    const answer = await anthropicAt().messages.create(body);
    expect(answer.stop_reason).toBe('end_turn');
    expect(answer.content[0]!.type).toBe('text');
  });
});
