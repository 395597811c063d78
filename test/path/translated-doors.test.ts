import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { chatLine, openaiAt, resultsOf, startBatch, untilEnded, uploadLines } from '../harness/batches.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { withoutIds } from '../harness/sse.ts';
import { testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt, callsOf, jobOf, submit, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({ settings: { batches: { beat_ms: 100, look_ms: 50, append_ms: 100 } } });
});
afterAll(() => sluice.stop());
beforeEach(() => sluice.simulator.log.clear());

const claude = (text?: string, fault?: Record<string, unknown>) => ({
  ...chat(text, fault),
  model: 'claude-sonnet-5',
});
const path = '/v1/chat/completions';

test('a job and a line of a batch end with the caller’s own dialect', async () => {
  const id = await submit(sluice, claude());
  const job = await untilStatus(sluice, id, 'succeeded');
  const result = (await (await sluice.get(`/v1/jobs/${id}/result`)).json()) as {
    object: string;
    usage: object;
  };
  expect(result.object).toBe('chat.completion');
  expect(job).toMatchObject({ provider: 'anthropic', model: 'claude-sonnet-5', endpoint: path });
  const openai = openaiAt(sluice.url);
  const file = await uploadLines(openai, [chatLine('a', claude('one')), chatLine('b', claude('two'))]);
  const batch = await untilEnded(openai, (await startBatch(openai, file)).id);
  const { output } = await resultsOf(openai, batch, ['a', 'b']);
  expect(output[0]!.response!.body).toMatchObject({ object: 'chat.completion' });
  const counted = output.reduce((sum, { response }) => sum + response!.body.usage.completion_tokens, 0);
  expect(batch.usage!.output_tokens).toBe(counted);
});

test('a batch of Gemini’s calls, answered by another provider, adds up its usage', async () => {
  const endpoint = '/v1beta/models/{model}:generateContent';
  const line = (custom_id: string) => ({
    custom_id,
    method: 'POST',
    url: endpoint,
    body: { model: 'claude-sonnet-5', contents: [{ role: 'user', parts: [{ text: 'hello' }] }] },
  });
  const openai = openaiAt(sluice.url);
  const file = await uploadLines(openai, [line('a'), line('b')]);
  const batch = await untilEnded(openai, (await startBatch(openai, file, { endpoint })).id);
  const { output } = await resultsOf(openai, batch, ['a', 'b']);
  const bodies = output.map(({ response }) => response!.body as unknown as { candidates: object[] });
  for (const { candidates } of bodies) expect(candidates).toHaveLength(1);
  const arrivals = arrivalsAt(sluice.simulator);
  const sum = (field: 'inputTokens' | 'outputTokens') =>
    arrivals.reduce((total, arrival) => total + arrival[field], 0);
  expect(batch.usage).toMatchObject({ input_tokens: sum('inputTokens'), output_tokens: sum('outputTokens') });
});

test('a line of a batch that cannot be translated is named before anything runs', async () => {
  const openai = openaiAt(sluice.url);
  const file = await uploadLines(openai, [chatLine('a', { ...claude(), n: 2 })]);
  const batch = await untilEnded(openai, (await startBatch(openai, file)).id);
  expect(batch.status).toBe('failed');
  expect(batch.errors!.data![0]).toMatchObject({ code: 'not_translatable', param: 'body.n', line: 1 });
});

test('a stream is read again from its job, byte for byte, and resumed in the middle', async () => {
  const response = await sluice.post(path, { ...claude('rivers'), stream: true });
  const text = await response.text();
  const jobId = response.headers.get('x-sluice-job-id')!;
  const result = await (await sluice.get(`/v1/jobs/${jobId}/result`)).text();
  expect(result).toBe(withoutIds(text));
  const ids = [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id!);
  const rest = await (await sluice.get(`/v1/jobs/${jobId}/events`, { 'last-event-id': ids[4]! })).text();
  expect(rest.length).toBeGreaterThan(100);
  expect(rest).toContain('chat.completion.chunk');
});

test('a refusal for quota and a fault are asked again by the queue alone, once each', async () => {
  for (const fault of [{ kind: 'quota' as const, retryAfter: '1' }, { status: 500 }])
    sluice.simulator.faults.add({ match: { promptContains: 'again' }, times: 1, fault });
  const response = await sluice.post(path, claude('again'));
  expect(response.status).toBe(200);
  const job = await jobOf(sluice, response.headers.get('x-sluice-job-id')!);
  expect(job.attempts.map(({ result }) => result)).toEqual(['quota', 'server', 'succeeded']);
  expect(callsOf(sluice, job.id)).toHaveLength(3);
});

test.each([
  ['garbage', { garbage: true }, 502],
  ['HTML', { html: true, status: 400 }, 400],
  ['a 400', { status: 400 }, 400],
])(
  '%s of the provider is an error in the caller’s dialect, and the worker goes on',
  async (_name, fault, status) => {
    const response = await sluice.post(path, claude('bad', fault));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { message: expect.any(String) as string } });
    expect((await sluice.post(path, claude())).status).toBe(200);
  },
);

test.each([
  ['an error event', { streamErrorAfter: 3 }],
  ['a socket that closes', { halfClose: 3 }],
  ['an event that is not JSON', { garbageAfter: 3 }],
])('%s inside a stream ends it with an error event, and what came is charged', async (_name, fault) => {
  const response = await sluice.post(path, { ...claude('rivers', fault), stream: true });
  const text = await response.text();
  expect(text).toContain('"delta":{"content":');
  expect(text).toMatch(/data: \{"error":/);
  expect(text).not.toContain('[DONE]');
  const job = await untilStatus(sluice, response.headers.get('x-sluice-job-id')!, 'failed');
  expect(job.usage!.output_tokens).toBeGreaterThan(0);
});

test('a caller that hangs up in the middle cancels its job: the provider is cut off, and what came is charged', async () => {
  const hangUp = new AbortController();
  const response = await fetch(`${sluice.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${testKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...claude('rivers', { perTokenMs: 50, outputTokens: 200 }), stream: true }),
    signal: hangUp.signal,
  });
  const jobId = response.headers.get('x-sluice-job-id')!;
  const reader = response.body!.getReader();
  for (let read = ''; !read.includes('"content":"'); )
    read += Buffer.from((await reader.read()).value!).toString();
  hangUp.abort();
  const job = await untilStatus(sluice, jobId, 'cancelled');
  expect(job.usage!.output_tokens).toBeLessThan(200);
  const [call] = await until('the provider has seen the end', () => {
    const calls = callsOf(sluice, jobId);
    return calls[0]?.aborted ? calls : undefined;
  });
  expect(call!.path).toBe('/v1/messages');
});

test('what is left out is named on every door that has headers', async () => {
  const body = { ...claude(), seed: 1, logprobs: false };
  const whole = await sluice.post(path, body);
  expect(whole.headers.get('x-sluice-dropped-params')).toBe('seed');
  const streamed = await sluice.post(path, { ...body, stream: true });
  expect(streamed.headers.get('x-sluice-dropped-params')).toBe('seed');
  await streamed.text();
  const later = await sluice.post(path, body, { prefer: 'respond-async' });
  const { id } = (await later.json()) as { id: string };
  await untilStatus(sluice, id, 'succeeded');
  expect((await sluice.get(`/v1/jobs/${id}/result`)).headers.get('x-sluice-dropped-params')).toBe('seed');
});

test.each([
  ['/v1/embeddings', 'claude-sonnet-5', { input: 'a text' }],
  ['/v1beta/models/gpt-5-mini:embedContent', 'gpt-5-mini', { content: { parts: [{ text: 'a text' }] } }],
  ['/v1/messages/count_tokens', 'gpt-5-mini', { messages: [{ role: 'user', content: 'hi' }] }],
  ['/v1beta/models/gpt-5-mini:countTokens', 'gpt-5-mini', { contents: [{ parts: [{ text: 'hi' }] }] }],
])('%s for a provider of another dialect is refused, and says why', async (url, model, body) => {
  const response = await sluice.post(url, { model, ...body });
  expect(response.status).toBe(400);
  expect(await response.text()).toMatch(/is not served for the model .*: its provider speaks the dialect of/);
  expect(arrivalsAt(sluice.simulator)).toEqual([]);
});
