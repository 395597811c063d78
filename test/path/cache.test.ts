import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { withoutIds } from '../harness/sse.ts';
import { otherKey, testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt, jobOf, untilStatus } from './support.ts';

const path = '/v1/chat/completions';
const exact = { 'x-sluice-cache': 'exact' };
const configuredKey = 'sk-sl-cached';
const limitedKey = 'sk-sl-limited';

let sluice: TestSluice;
beforeAll(async () => {
  const keys = [{ id: 'cached', key: configuredKey, cache: { namespace: 'of-the-key' } }];
  sluice = await startSluice({
    settings: {
      customers: {
        cached: { keys, cache: { mode: 'exact', hits: 'charged' } },
        limited: { keys: [{ id: 'limited', key: limitedKey }], limits: [{ requests: 1, window: '1h' }] },
      },
    },
  });
});
afterAll(() => sluice.stop());
beforeEach(() => sluice.simulator.log.clear());

const calls = () => arrivalsAt(sluice.simulator).length;

async function storesOf(result: string): Promise<number> {
  const { values } = await sluice.metrics.cacheStores.get();
  return values.filter(({ labels }) => labels.result === result).reduce((sum, { value }) => sum + value, 0);
}

/** Sends a call and returns when its answer was kept, or was found unfit. */
async function first(body: unknown, headers: Record<string, string> = exact, result = 'stored') {
  const before = await storesOf(result);
  const response = await sluice.post(path, body, headers);
  const text = await response.text();
  await until(`the answer is ${result}`, async () => (await storesOf(result)) > before);
  return { response, text };
}
const statusOf = (response: Response) => response.headers.get('x-sluice-cache-status');

test('the same call is answered once more with the same bytes, by a job without an attempt', async () => {
  const { response, text } = await first(chat('hit me'));
  expect(statusOf(response)).toBe('miss');
  const again = await sluice.post(path, chat('hit me'), exact);
  expect([again.status, statusOf(again), await again.text()]).toEqual([200, 'hit', text]);
  expect(Number(again.headers.get('age'))).toBeGreaterThanOrEqual(0);
  expect(again.headers.get('x-sluice-attempts')).toBe('0');
  expect(calls()).toBe(1);
  const id = again.headers.get('x-sluice-job-id')!;
  expect(id).not.toBe(response.headers.get('x-sluice-job-id'));
  const usage = (JSON.parse(text) as { usage: { prompt_tokens: number; completion_tokens: number } }).usage;
  expect(await jobOf(sluice, id)).toMatchObject({
    status: 'succeeded',
    attempts: [],
    cached: true,
    usage: { input_tokens: 0, output_tokens: 0 },
    cost_usd: 0,
    cache: {
      status: 'hit',
      saved_input_tokens: usage.prompt_tokens,
      saved_output_tokens: usage.completion_tokens,
    },
  });
});

test('a hit asks no quota, and its answer says how the quotas stand', async () => {
  const headers = { ...exact, authorization: `Bearer ${limitedKey}` };
  await first(chat('within the limit'), headers);
  const hits = await Promise.all([1, 2, 3].map(() => sluice.post(path, chat('within the limit'), headers)));
  expect(hits.map(statusOf)).toEqual(['hit', 'hit', 'hit']);
  expect(hits[0]!.headers.get('x-ratelimit-remaining-requests')).toBe('0');
  const beyond = await sluice.post(path, chat('beyond the limit'), headers);
  expect(beyond.status).toBe(429);
});

test('a call that says nothing is not cached, and hears nothing of it', async () => {
  const answers = [await sluice.post(path, chat('plain')), await sluice.post(path, chat('plain'))];
  expect(answers.map(statusOf)).toEqual([null, null]);
  expect(calls()).toBe(2);
});

test.each<[string, Record<string, unknown>, 'hit' | 'miss']>([
  ['another order of keys', { messages: [{ content: 'par', role: 'user' }] }, 'hit'],
  ['another user and metadata', { user: 'somebody', metadata: { a: 'b' } }, 'hit'],
  ['another temperature', { temperature: 0.5 }, 'miss'],
  ['another maximum', { max_completion_tokens: 500 }, 'miss'],
  ['another tool', { tools: [{ type: 'function', function: { name: 'f' } }] }, 'miss'],
])('a call with %s is the same or not', async (name, more, expected) => {
  const inOwn = { ...exact, 'x-sluice-cache-namespace': name.replaceAll(' ', '-') };
  await first({ ...chat('par'), seed: 7 }, inOwn);
  const answer = await sluice.post(path, { ...chat('par'), seed: 7, ...more }, inOwn);
  expect(statusOf(answer)).toBe(expected);
});

test('no byte goes from one tenant to another, nor from one namespace to another', async () => {
  await first(chat('mine'));
  const rival = { ...exact, authorization: `Bearer ${otherKey}` };
  expect(statusOf(await sluice.post(path, chat('mine'), rival))).toBe('miss');
  const elsewhere = { ...exact, 'x-sluice-cache-namespace': 'elsewhere' };
  const { response } = await first(chat('mine'), elsewhere);
  expect(statusOf(response)).toBe('miss');
  expect(statusOf(await sluice.post(path, chat('mine'), elsewhere))).toBe('hit');

  const remove = (query: string, key = testKey) =>
    fetch(`${sluice.url}/v1/cache${query}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${key}` },
    });
  await (await remove('', otherKey)).text();
  expect(statusOf(await sluice.post(path, chat('mine'), elsewhere))).toBe('hit');
  expect(await (await remove('?namespace=elsewhere')).json()).toMatchObject({ deleted: 1 });
  expect(statusOf(await sluice.post(path, chat('mine'), exact))).toBe('hit');
  expect(statusOf(await sluice.post(path, chat('mine'), elsewhere))).toBe('miss');
  expect((await remove('?namespace=a:b')).status).toBe(400);
});

test('an answer is served for its time, and no longer', async () => {
  const { text } = await first(chat('short-lived'), { ...exact, 'x-sluice-cache-ttl': '1' });
  await until('it has expired', async () => {
    const answer = await sluice.post(path, chat('short-lived'), exact);
    if (statusOf(answer) === 'hit') expect(await answer.text()).toBe(text);
    return statusOf(answer) === 'miss';
  });
});

test('refresh asks the provider and keeps its answer instead', async () => {
  const old = await first(chat('anew'));
  const { response, text } = await first(chat('anew'), { 'x-sluice-cache': 'refresh' });
  expect(statusOf(response)).toBe('refresh');
  expect(text).not.toBe(old.text);
  expect(await (await sluice.post(path, chat('anew'), exact)).text()).toBe(text);
  const noCache = await sluice.post(path, chat('anew'), { ...exact, 'cache-control': 'no-cache' });
  expect(statusOf(noCache)).toBe('refresh');
  const noStore = await sluice.post(path, chat('anew'), { ...exact, 'cache-control': 'no-store' });
  expect(statusOf(noStore)).toBe('off');
});

test('a failed, a truncated and a tool-calling answer are not kept', async () => {
  await sluice.post(path, chat('fails', { status: 400 }), exact);
  expect(statusOf(await sluice.post(path, chat('fails', { status: 400 }), exact))).toBe('miss');
  const short = { ...chat('tell me all'), max_completion_tokens: 3 };
  await first(short, exact, 'unfit');
  expect(statusOf(await sluice.post(path, short, exact))).toBe('miss');
  const parameters = { type: 'object', properties: { city: { type: 'string' } } };
  const tools = [{ type: 'function', function: { name: 'weather', parameters } }];
  const asks = { ...chat('Please call the tool.'), tools };
  await first(asks, exact, 'unfit');
  expect(statusOf(await sluice.post(path, asks, exact))).toBe('miss');
});

test('a deferred job that hits has succeeded, with the cached bytes, when it is accepted', async () => {
  const { text } = await first(chat('later'));
  const body = { endpoint: path, body: chat('later'), cache: { mode: 'exact' } };
  const { id } = (await (await sluice.post('/v1/jobs', body)).json()) as { id: string };
  expect(await untilStatus(sluice, id, 'succeeded')).toMatchObject({ attempts: [], cached: true });
  const result = await sluice.get(`/v1/jobs/${id}/result`);
  expect([statusOf(result), await result.text()]).toEqual(['hit', text]);
  const events = await (await sluice.get(`/v1/jobs/${id}/events`)).text();
  expect(events).toContain('event: completed');
  const async_ = await sluice.post(path, chat('later'), { ...exact, prefer: 'respond-async' });
  expect([async_.status, statusOf(async_)]).toEqual([202, 'hit']);
  expect(await async_.json()).toMatchObject({ status: 'succeeded', cached: true });
  expect(calls()).toBe(1);
});

test('an Idempotency-Key and the cache go together', async () => {
  await first(chat('idem'));
  const headers = { ...exact, 'idempotency-key': 'with-cache' };
  const [one, two] = [
    await sluice.post(path, chat('idem'), headers),
    await sluice.post(path, chat('idem'), headers),
  ];
  expect(one.headers.get('x-sluice-job-id')).toBe(two.headers.get('x-sluice-job-id'));
  expect(await one.text()).toBe(await two.text());
  expect(calls()).toBe(1);
});

test('what is configured for a customer and its key holds; hits are charged where that is said', async () => {
  const headers = { authorization: `Bearer ${configuredKey}` };
  const { text } = await first(chat('configured'), headers);
  const again = await sluice.post(path, chat('configured'), headers);
  expect([statusOf(again), await again.text()]).toEqual(['hit', text]);
  const inDefault = { ...headers, 'x-sluice-cache-namespace': 'default' };
  expect(statusOf(await sluice.post(path, chat('configured'), inDefault))).toBe('miss');
  expect(statusOf(await sluice.post(path, chat('configured'), { ...headers, 'x-sluice-cache': 'off' }))).toBe(
    'off',
  );
  const job = (await (
    await sluice.get(`/v1/jobs/${again.headers.get('x-sluice-job-id')}`, headers)
  ).json()) as object;
  const { usage } = JSON.parse(text) as { usage: { prompt_tokens: number; completion_tokens: number } };
  expect(job).toMatchObject({
    cached: true,
    usage: { input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens },
    cache: { saved_input_tokens: 0 },
  });
});

test.each<[string, string]>([
  ['x-sluice-cache', 'yes'],
  ['x-sluice-cache', 'semantic'],
  ['x-sluice-cache-ttl', '0'],
  ['x-sluice-cache-ttl', '-1'],
  ['x-sluice-cache-ttl', '1e9'],
  ['x-sluice-cache-ttl', '99999999999'],
  ['x-sluice-cache-namespace', '../rival'],
  ['x-sluice-cache-namespace', '{rival}:x'],
  ['x-sluice-cache-namespace', 'a'.repeat(65)],
  ['x-sluice-cache-namespace', ''],
  ['x-sluice-cache-threshold', '1.1'],
  ['x-sluice-cache-threshold', 'NaN'],
  ['x-sluice-coalesce', 'maybe'],
])('%s: %s is refused by name', async (name, value) => {
  const answer = await sluice.post(path, chat('hostile'), { [name]: value });
  expect([answer.status, await answer.json()]).toMatchObject([400, { error: { code: 'invalid_header' } }]);
  expect(calls()).toBe(0);
});

test('a stream that hits is an event stream with the same events, and can be resumed', async () => {
  const body = { ...chat('streamed'), stream: true, stream_options: { include_usage: true } };
  const { text } = await first(body);
  const again = await sluice.post(path, body, exact);
  expect([statusOf(again), again.headers.get('content-type')]).toEqual([
    'hit',
    'text/event-stream; charset=utf-8',
  ]);
  const replayed = await again.text();
  expect(withoutIds(replayed)).toBe(withoutIds(text));
  const id = /^id: (\S+)$/m.exec(replayed)![1]!;
  const key = { ...exact, 'idempotency-key': 'resumed' };
  await (await sluice.post(path, body, key)).text();
  const rest = await (await sluice.post(path, body, { ...key, 'last-event-id': id })).text();
  expect(rest.length).toBeGreaterThan(0);
  expect(replayed.endsWith(rest)).toBe(true);
  expect(calls()).toBe(1);
});
