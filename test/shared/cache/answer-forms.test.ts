import { describe, expect, test } from 'vitest';
import { answerEnd, inShape } from '#shared/cache/answer-forms.ts';
import type { AnswerShape, CachedAnswer } from '#shared/cache/cache-store.ts';
import type { Endpoint } from '#shared/contracts/endpoint.ts';

const kept = (body: unknown, shape: AnswerShape = 'whole'): CachedAnswer => ({
  shape,
  contentType: 'application/json',
  provider: 'p',
  model: 'm',
  usage: { inputTokens: 3, outputTokens: 4 },
  body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
});

const message = (content: object[], more: object = {}) => ({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude',
  content,
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 3, cache_read_input_tokens: 2, output_tokens: 40 },
  ...more,
});
const completion = (choices: object[], more: object = {}) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'gpt',
  choices,
  usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
  system_fingerprint: 'fp',
  ...more,
});
const choice = (spoken: object, more: object = {}) => ({
  index: 0,
  message: { role: 'assistant', content: 'Hi', refusal: null, ...spoken },
  logprobs: null,
  finish_reason: 'stop',
  ...more,
});
const call = (id: string, text: string) => ({
  id,
  type: 'function',
  function: { name: 'weather', arguments: text },
});
const response = (output: object[], more: object = {}) => ({
  id: 'resp_1',
  object: 'response',
  status: 'completed',
  output,
  usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 },
  ...more,
});
const spokenItem = (content: object[]) => ({
  id: 'msg_1',
  type: 'message',
  status: 'completed',
  role: 'assistant',
  content,
});
const token = (text: string) => ({ token: text, logprob: -0.5, bytes: null, top_logprobs: [] });

const gemini = (parts: object[], more: object = {}) => ({
  candidates: [{ content: { role: 'model', parts }, finishReason: 'STOP', index: 0, ...more }],
  usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 4, totalTokenCount: 7 },
  modelVersion: 'gemini',
  responseId: 'r',
});
const generateContent = '/v1beta/models/{model}:generateContent';

const wholes: [string, Endpoint, object][] = [
  [
    'a thought, a text and a call',
    generateContent,
    gemini([
      { text: 'Hm', thought: true },
      { text: 'Hi' },
      { functionCall: { name: 'weather', args: { city: 'Rome' } }, thoughtSignature: 'c2ln' },
    ]),
  ],
  [
    'several choices',
    '/v1/chat/completions',
    completion([choice({}), choice({ content: 'Ho' }, { index: 1 })]),
  ],
  [
    'tool calls beside a text, and fields of a host of its own',
    '/v1/chat/completions',
    completion([
      choice(
        {
          content: 'Let me see',
          reasoning_content: 'Hm',
          tool_calls: [call('a', '{"x":1}'), call('b', '{}')],
        },
        { finish_reason: 'tool_calls' },
      ),
    ]),
  ],
  [
    'probabilities of tokens',
    '/v1/chat/completions',
    completion([choice({}, { logprobs: { content: [token('Hi')], refusal: null } })]),
  ],
  ['no text at all', '/v1/chat/completions', completion([choice({ content: null, refusal: 'No.' })])],
  [
    'thinking, a cited text and a call',
    '/v1/messages',
    message(
      [
        { type: 'thinking', thinking: 'Hm “ü”', signature: 'c2ln' },
        { type: 'redacted_thinking', data: 'xyz' },
        { type: 'text', text: 'It rains.', citations: [{ type: 'char_location', cited_text: 'rain' }] },
        { type: 'server_tool_use', id: 's', name: 'web_search', input: { query: 'rain' } },
        {
          type: 'web_search_tool_result',
          tool_use_id: 's',
          content: [{ type: 'web_search_result', url: 'u' }],
        },
        { type: 'tool_use', id: 't', name: 'weather', input: {} },
      ],
      { stop_reason: 'tool_use' },
    ),
  ],
  [
    'reasoning, a cited text, a refusal and a call',
    '/v1/responses',
    response([
      { id: 'rs_1', type: 'reasoning', summary: [{ type: 'summary_text', text: 'Hm' }] },
      spokenItem([
        { type: 'output_text', text: 'Hi', annotations: [{ type: 'url_citation', url: 'u' }], logprobs: [] },
        { type: 'refusal', refusal: 'No.' },
      ]),
      {
        id: 'fc_1',
        type: 'function_call',
        status: 'completed',
        call_id: 'c',
        name: 'weather',
        arguments: '{}',
      },
    ]),
  ],
];

test.each(wholes)('%s: an answer is the same after it was a stream', (_name, endpoint, whole) => {
  const streamed = inShape(endpoint, kept(whole), 'as_is')!;
  expect(streamed.contentType).toMatch(/^text\/event-stream/);
  const again = inShape(endpoint, { ...kept(''), body: streamed.body, shape: 'as_is' }, 'whole')!;
  expect(JSON.parse(again.body.toString())).toEqual(whole);
});

test('bytes are left as they are in the shape in which they came', () => {
  const answer = kept('{ "odd":  1.0 }');
  expect(inShape('/v1/chat/completions', answer, 'whole')).toEqual({
    body: answer.body,
    contentType: answer.contentType,
  });
});

test('usage stands in a stream only when it is asked for, and is put into an answer whose stream left it out', () => {
  const whole = completion([choice({})]);
  const hidden = inShape('/v1/chat/completions', kept(whole), 'usage_hidden')!.body.toString();
  expect(hidden).not.toContain('usage');
  expect(inShape('/v1/chat/completions', kept(whole), 'as_is')!.body.toString()).toContain(
    '"total_tokens":7',
  );
  const told = inShape('/v1/chat/completions', kept(hidden, 'usage_hidden'), 'whole')!;
  expect(JSON.parse(told.body.toString())).toEqual(whole);
});

describe('an answer is given again only when it is whole', () => {
  const text = { type: 'text', text: 'Hi' };
  const toolUse = { type: 'tool_use', id: 't', name: 'f', input: {} };
  test.each<[string, string, Endpoint, unknown]>([
    ['complete', 'a text', '/v1/chat/completions', completion([choice({})])],
    [
      'truncated',
      'one choice at its maximum',
      '/v1/chat/completions',
      completion([choice({}), choice({}, { finish_reason: 'length' })]),
    ],
    [
      'truncated',
      'a filter',
      '/v1/chat/completions',
      completion([choice({}, { finish_reason: 'content_filter' })]),
    ],
    ['tools', 'a call', '/v1/chat/completions', completion([choice({ tool_calls: [call('a', '{}')] })])],
    ['unfinished', 'no end', '/v1/chat/completions', completion([choice({}, { finish_reason: null })])],
    ['unfinished', 'no choice', '/v1/chat/completions', completion([])],
    ['unfinished', 'no object', '/v1/chat/completions', []],
    ['complete', 'a text', '/v1/messages', message([text])],
    ['complete', 'a stop sequence', '/v1/messages', message([text], { stop_reason: 'stop_sequence' })],
    ['tools', 'a call', '/v1/messages', message([toolUse], { stop_reason: 'tool_use' })],
    ['truncated', 'a refusal', '/v1/messages', message([text], { stop_reason: 'refusal' })],
    ['truncated', 'the maximum', '/v1/messages', message([text], { stop_reason: 'max_tokens' })],
    ['unfinished', 'a pause', '/v1/messages', message([text], { stop_reason: 'pause_turn' })],
    ['complete', 'a text', '/v1/responses', response([spokenItem([])])],
    ['tools', 'a call', '/v1/responses', response([{ type: 'function_call' }])],
    ['truncated', 'the maximum', '/v1/responses', response([], { status: 'incomplete' })],
    ['unfinished', 'a failure', '/v1/responses', response([], { status: 'failed' })],
    ['unfinished', 'a call in the background', '/v1/responses', response([], { status: 'queued' })],
    ['complete', 'vectors', '/v1/embeddings', { data: [] }],
    ['unfinished', 'no vectors', '/v1/embeddings', { error: {} }],
    ['complete', 'a text', generateContent, gemini([{ text: 'Hi' }])],
    ['tools', 'a call', generateContent, gemini([{ functionCall: {} }])],
    ['truncated', 'the maximum', generateContent, gemini([], { finishReason: 'MAX_TOKENS' })],
    ['unfinished', 'no end', generateContent, gemini([], { finishReason: undefined })],
    ['truncated', 'the maximum', '/v1/completions', { choices: [{ text: 'x', finish_reason: 'length' }] }],
  ])('%s: %s (%s)', (end, _name, endpoint, whole) => {
    expect(answerEnd(endpoint, kept(whole))).toBe(end);
  });

  test('the pieces of a Gemini stream are one text', () => {
    const events = [gemini([{ text: 'Wa' }], { finishReason: undefined }), gemini([{ text: 'ter' }])];
    const stream = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
    const made = inShape(generateContent, kept(stream, 'as_is'), 'whole')!;
    expect(JSON.parse(made.body.toString())).toEqual(gemini([{ text: 'Water' }]));
    expect(answerEnd(generateContent, kept(stream, 'as_is'))).toBe('complete');
  });

  test('a stream without its end is none', () => {
    const whole = message([text]);
    const stream = inShape('/v1/messages', kept(whole), 'as_is')!.body.toString();
    expect(answerEnd('/v1/messages', kept(stream, 'as_is'))).toBe('complete');
    const cut = stream.slice(0, stream.indexOf('event: message_stop'));
    expect(answerEnd('/v1/messages', kept(cut, 'as_is'))).toBe('unfinished');
    expect(answerEnd('/v1/messages', kept('data: {"broken', 'as_is'))).toBe('unfinished');
  });
});
