import { describe, expect, test } from 'vitest';
import { TransportError } from '../../../../services/worker/http/transport-error.ts';
import { answers, asked } from './recorded.ts';
import { dataOf, type Scene, sse, translated } from './support.ts';

const chat = '/v1/chat/completions';

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

  test('a model that asks on by itself is not let: one attempt is one request, and its answer stands', async () => {
    const content = { role: 'model', parts: [{ text: 'x' }] };
    const candidates = [{ content, finishReason: 'CONTINUATION', continuationToken: 'more' }];
    const answer = { ...answers.gemini.answer, candidates };
    const gemini = { ...scene, dialect: 'gemini', model: 'gemini-4-pro' } as const;
    const whole = await translated({ ...gemini, answer });
    expect(whole.requests).toHaveLength(1);
    expect(whole.result).toMatchObject({ kind: 'answered' });
    expect(JSON.parse(whole.text)).toMatchObject({ choices: [{ finish_reason: 'length' }] });
    const streamed = await translated({ ...gemini, events: sse(answer) });
    expect(streamed.requests).toHaveLength(1);
    expect(streamed.text).toContain('"finish_reason":"length"');
  });

  test('what this provider cannot be told ends the call with a 400 in the caller’s dialect', async () => {
    const { result, requests, text } = await translated({ ...scene, body: { ...asked[chat], n: 2 } });
    expect(requests).toEqual([]);
    expect(result).toMatchObject({ kind: 'refused', class: 'rejected', retryable: false });
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'not_translatable', param: 'n' } });
  });
});
