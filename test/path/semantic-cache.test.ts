import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import { otherKey, testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt, jobOf } from './support.ts';

const path = '/v1/chat/completions';
const semantic = { 'x-sluice-cache': 'semantic' };

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    settings: {
      cache: { semantic: { model: 'openai/text-embedding-3-small', threshold: 0.9, timeout_ms: 20_000 } },
    },
  });
});
afterAll(() => sluice.stop());
beforeEach(() => {
  sluice.simulator.log.clear();
  sluice.simulator.faults.clear();
});

const question = (text: string, more: object = {}, system = 'You are a guide.') => ({
  model: 'gpt-5-mini',
  messages: [
    { role: 'system', content: system },
    { role: 'user', content: text },
  ],
  ...more,
});
const callsOf = (wanted: string) =>
  arrivalsAt(sluice.simulator).filter((arrival) => arrival.path === wanted).length;
const statusOf = (response: Response) => response.headers.get('x-sluice-cache-status');

async function stored(): Promise<number> {
  const { values } = await sluice.metrics.cacheStores.get();
  return values.filter(({ labels }) => labels.result === 'stored').reduce((sum, { value }) => sum + value, 0);
}

/** Asks, and returns when both the answer and the embedding of the question were kept. */
async function first(body: unknown, headers: Record<string, string> = semantic, kept = 2): Promise<string> {
  const before = await stored();
  const response = await sluice.post(path, body, headers);
  expect(statusOf(response)).toMatch(/miss|refresh/);
  await until('it is kept', async () => (await stored()) >= before + kept);
  return response.text();
}

test('a question that means the same gets the same answer; one that does not, or in another context, does not', async () => {
  const text = await first(question('What is the capital of France?'));
  const near = await sluice.post(path, question('Please, what is the capital of France?'), semantic);
  expect([statusOf(near), await near.text()]).toEqual(['semantic_hit', text]);
  expect(callsOf(path)).toBe(1);
  const job = await jobOf(sluice, near.headers.get('x-sluice-job-id')!);
  expect(job).toMatchObject({ attempts: [], cached: true, cache: { status: 'semantic_hit' } });
  expect(job.cache!.similarity).toBeGreaterThan(0.9);

  const others = [
    question('Which rivers run through Spain?'),
    question('Please, what is the capital of France?', {}, 'You are a pirate.'),
    question('Please, what is the capital of France?', { temperature: 0 }),
    question('Please, what is the capital of France?', {
      tools: [{ type: 'function', function: { name: 'f' } }],
    }),
  ];
  for (const other of others) expect(statusOf(await sluice.post(path, other, semantic))).toBe('miss');
  const asRival = { ...semantic, authorization: `Bearer ${otherKey}` };
  expect(statusOf(await sluice.post(path, question('What is the capital of France?'), asRival))).toBe('miss');
  const exact = { 'x-sluice-cache': 'exact' };
  const reworded = question('Do tell, what is the capital of France?');
  expect(statusOf(await sluice.post(path, reworded, exact))).toBe('miss');
});

test('the threshold of the call decides, and a stream may be answered by a whole answer', async () => {
  const text = await first(question('How high is the tower of Pisa in metres?'));
  const reworded = question('How high is that leaning tower of Pisa in metres?');
  const strict = { ...semantic, 'x-sluice-cache-threshold': '0.99' };
  expect(statusOf(await sluice.post(path, reworded, { ...strict, 'cache-control': 'no-store' }))).toBe('off');
  const loose = { ...semantic, 'x-sluice-cache-threshold': '0.6' };
  const streamed = await sluice.post(path, { ...reworded, stream: true }, loose);
  expect(statusOf(streamed)).toBe('semantic_hit');
  const { choices } = JSON.parse(text) as { choices: { message: { content: string } }[] };
  expect(await streamed.text()).toContain(JSON.stringify(choices[0]!.message.content));
  expect(statusOf(await sluice.post(path, reworded, strict))).toBe('miss');
});

test('the embedding is a job of the tenant that asks: in its list, its ledger, and kept like any answer', async () => {
  await first(question('Who wrote the book of the long river?'));
  const list = (await (
    await sluice.get('/v1/jobs?metadata.sluice-purpose=semantic-cache&limit=1')
  ).json()) as {
    data: { endpoint: string; usage: { input_tokens: number }; attempts: unknown[] }[];
  };
  expect(list.data[0]).toMatchObject({ endpoint: '/v1/embeddings', attempts: [{ result: 'succeeded' }] });
  expect(list.data[0]!.usage.input_tokens).toBeGreaterThan(0);
  expect(callsOf('/v1/embeddings')).toBe(1);
  // The same words in another context: compared anew, embedded once.
  await first(question('Who wrote the book of the long river?', {}, 'You are a pirate.'), semantic, 1);
  expect(callsOf('/v1/embeddings')).toBe(1);
});

test('refresh keeps the new answer, found by its meaning too; a cleared namespace finds nothing', async () => {
  const old = await first(question('When does the night train leave for Rome?'));
  const anew = await first(
    question('When does the night train leave for Rome?'),
    { ...semantic, 'x-sluice-cache': 'refresh' },
    1,
  );
  expect(anew).not.toBe(old);
  const reworded = question('When then does the night train leave for Rome?');
  expect(await (await sluice.post(path, reworded, semantic)).text()).toBe(anew);
  await fetch(`${sluice.url}/v1/cache?namespace=default`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${testKey}` },
  });
  expect(statusOf(await sluice.post(path, reworded, semantic))).toBe('miss');
});

test.each<[string, object, number]>([
  ['fails', { status: 400 }, 20_000],
  ['is garbage', { body: { data: [{ embedding: 'no vector' }] } }, 20_000],
  ['never comes', { hang: true }, 300],
])(
  'an embedding that %s makes the call a miss, answered by the provider',
  async (name, fault, timeout_ms) => {
    sluice.simulator.faults.add({ match: { path: '/v1/embeddings' }, times: 1, fault });
    sluice.settings.cache.semantic.timeout_ms = timeout_ms;
    const answer = await sluice.post(path, question(`A question whose embedding ${name}`), semantic);
    expect([answer.status, statusOf(answer)]).toEqual([200, 'miss']);
    expect(callsOf('/v1/embeddings')).toBe(1);
    const { values } = await sluice.metrics.semanticFailures.get();
    expect(values.filter(({ labels }) => labels.result === 'timeout').length).toBe(
      name === 'never comes' ? 1 : 0,
    );
    sluice.settings.cache.semantic.timeout_ms = 20_000;
  },
);
