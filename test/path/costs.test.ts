import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { otherKey, testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { jobOf, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  // What is not named here is priced by the list.
  const openai = { prices: { 'gpt-5-mini': { input: 1, cached_input: 0.1, output: 10, request: 0.5 } } };
  sluice = await startSluice({
    settings: { jobs: { attempts_max: 1 }, providers: { openai, anthropic: { price_list: 'none' } } },
  });
});
afterAll(() => sluice.stop());

const tokens = {
  prompt_tokens: 1_000,
  completion_tokens: 200,
  total_tokens: 1_200,
  prompt_tokens_details: { cached_tokens: 400 },
  completion_tokens_details: { reasoning_tokens: 50 },
};
/** 600 tokens at 1, 400 at 0.1 and 200 at 10 USD per million, and 0.5 USD for the call. */
const price = 0.50264;
const priced = (text: string) => chat(text, { usage: tokens });
const jobIdOf = (response: Response) => response.headers.get('x-sluice-job-id')!;

async function usageOf(query: string, key = testKey): Promise<Response> {
  return fetch(`${sluice.url}/v1/usage?${query}`, { headers: { authorization: `Bearer ${key}` } });
}

interface UsageAnswer {
  data: Record<string, unknown>[];
  total: Record<string, number>;
}

describe('what a call has cost', () => {
  test('is a header of its answer, a field of its job, and a figure of its ledger row', async () => {
    const response = await sluice.post('/v1/chat/completions', priced('hello'), { 'x-sluice-user': 'ann' });
    await response.arrayBuffer();
    expect(response.headers.get('x-sluice-cost-usd')).toBe(String(price));
    for (const name of ['job-id', 'provider', 'model', 'queue-ms', 'provider-ms', 'attempts'])
      expect(response.headers.get(`x-sluice-${name}`), name).toBeTruthy();
    expect(await jobOf(sluice, jobIdOf(response))).toMatchObject({
      cost_usd: price,
      usage: { input_tokens: 1_000, output_tokens: 200, cached_input_tokens: 400, reasoning_tokens: 50 },
    });
    const redis = sluice.redis.connect();
    const [row] = await redis.xrevrange(keys.ledger('acme'), '+', '-', 'COUNT', 1);
    redis.disconnect();
    expect(row![1].join(' ')).toMatch(
      /^kind settled .* axes \{"key":"test","user":"ann"\} inputTokens 1000 outputTokens 200 cachedTokens 400 nanoUsd 502640000$/,
    );
  });

  test('is known of a stream too, when it has ended', async () => {
    const response = await sluice.post('/v1/chat/completions', { ...priced('stream'), stream: true });
    await response.text();
    const job = await untilStatus(sluice, jobIdOf(response), 'succeeded');
    expect(job.cost_usd).toBeGreaterThan(0.5);
    const events = await (await sluice.get(`/v1/jobs/${job.id}/events`)).text();
    expect(events).toContain(`"cost_usd":${job.cost_usd}`);
  });

  test('is nothing where it failed before it was made, and unknown where nobody lists a price', async () => {
    const failed = await sluice.post('/v1/chat/completions', chat('fails', { status: 400 }));
    expect(failed.headers.get('x-sluice-cost-usd')).toBeNull();
    const body = { model: 'claude-sonnet-5', max_tokens: 20, messages: [{ role: 'user', content: 'x' }] };
    const unpriced = await sluice.post('/v1/messages', body);
    expect(unpriced.status).toBe(200);
    expect(unpriced.headers.get('x-sluice-cost-usd')).toBeNull();
    expect(await jobOf(sluice, jobIdOf(unpriced))).toMatchObject({
      cost_usd: null,
      usage: { output_tokens: expect.any(Number) },
    });
  });
});

describe('extra_fields', () => {
  test('are the last words of a stream, as a comment that clients skip', async () => {
    const asked = { ...chat(), stream: true };
    const answer = await sluice.post('/v1/chat/completions', asked, { 'x-sluice-extra-fields': 'true' });
    const text = await answer.text();
    const [, said = ''] = /: extra_fields (.*)\n\n$/.exec(text) ?? [];
    const job = await jobOf(sluice, answer.headers.get('x-sluice-job-id')!);
    expect(JSON.parse(said)).toMatchObject({ provider: 'openai', attempts: 1, cost_usd: job.cost_usd });
    expect(job.cost_usd).toBeGreaterThan(0);
  });

  test('say how an answer came about, when they are asked for; every other byte is the provider’s', async () => {
    const plain = await sluice.post('/v1/chat/completions', priced('extra'));
    const stored = await (await sluice.get(`/v1/jobs/${jobIdOf(plain)}/result`)).text();
    expect(await plain.text()).toBe(stored);
    expect(stored).not.toContain('extra_fields');
    const asked = { ...priced('extra'), model: 'openai/gpt-5-mini' };
    const response = await sluice.post('/v1/chat/completions', asked, { 'x-sluice-extra-fields': 'true' });
    const text = await response.text();
    const { extra_fields } = JSON.parse(text) as { extra_fields: Record<string, unknown> };
    expect(extra_fields).toEqual({
      request_type: 'chat_completion',
      provider: 'openai',
      model: 'gpt-5-mini',
      model_requested: 'openai/gpt-5-mini',
      latency: expect.any(Number),
      queue_wait_ms: expect.any(Number),
      attempts: 1,
      key_id: 'test',
      job_id: jobIdOf(response),
      cost_usd: price,
    });
    const own = await (await sluice.get(`/v1/jobs/${jobIdOf(response)}/result`)).text();
    expect(text.replace(/,"extra_fields":\{[^{}]*\}/, '')).toBe(own);
  });

  test('are refused when they are asked for in words nobody knows', async () => {
    const response = await sluice.post('/v1/chat/completions', chat(), { 'x-sluice-extra-fields': 'yes' });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('x-sluice-extra-fields');
  });
});

describe('GET /v1/usage', () => {
  test('adds up the calls of the tenant by what it is asked for, and shows them to nobody else', async () => {
    const feature = { 'x-sluice-feature': 'search' };
    for (const user of ['bob', 'bob', '=cmd()'])
      await (
        await sluice.post('/v1/chat/completions', priced('usage'), { ...feature, 'x-sluice-user': user })
      ).arrayBuffer();
    await (await sluice.post('/v1/chat/completions', chat('fails', { status: 400 }), feature)).arrayBuffer();
    const response = await usageOf('group_by=feature,user,model');
    const { data } = (await response.json()) as UsageAnswer;
    const searches = data.filter(({ feature }) => feature === 'search');
    expect(searches).toHaveLength(3);
    expect(searches.find(({ user }) => user === 'bob')).toEqual({
      ...{ feature: 'search', user: 'bob', model: 'gpt-5-mini', calls: 2, failures: 0 },
      ...{ input_tokens: 2_000, cached_input_tokens: 800, output_tokens: 400, cost_usd: 2 * price },
      ...{ unpriced: 0, wasted_tokens: 0, wasted_usd: 0 },
    });
    expect(searches.find(({ user }) => user === null)).toMatchObject({ calls: 1, failures: 1, cost_usd: 0 });
    const others = (await (await usageOf('group_by=key', otherKey)).json()) as UsageAnswer;
    expect(others).toMatchObject({ data: [], total: { calls: 0, cost_usd: 0 } });
  });

  test('comes as CSV as well, in which no name is a formula', async () => {
    const response = await usageOf('group_by=user,month&format=csv');
    expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    const [head, ...lines] = (await response.text()).trimEnd().split('\n');
    expect(head).toBe(
      'user,month,calls,failures,input_tokens,cached_input_tokens,output_tokens,cost_usd,unpriced,wasted_tokens,wasted_usd',
    );
    const month = new Date(await redisNowMs()).toISOString().slice(0, 7);
    expect(lines.find((line) => line.startsWith('bob'))).toBe(
      `bob,${month},2,0,2000,800,400,${2 * price},0,0,0`,
    );
    expect(lines.some((line) => line.startsWith("'=cmd()"))).toBe(true);
  });

  test('answers one question of a tenant at a time', async () => {
    const yearAgo = new Date((await redisNowMs()) - 365 * 86_400_000).toISOString().slice(0, 10);
    const together = await Promise.all(Array.from({ length: 4 }, () => usageOf(`from=${yearAgo}`)));
    expect(new Set(together.map(({ status }) => status))).toEqual(new Set([200, 503]));
    expect(await together.find(({ status }) => status === 503)!.text()).toContain('usage_busy');
    expect((await usageOf(`from=${yearAgo}`)).status).toBe(200);
  });

  test.each([
    ['group_by=colour', 'group_by'],
    ['group_by=tenant', 'group_by'],
    ['from=2026-02-30', 'from'],
    ['from=yesterday', 'from'],
    ['from=2026-05-02&to=2026-05-01', 'from'],
    ['from=2001-01-01', 'from'],
    ['format=xml', 'format'],
  ])('%s is refused, and the answer names %s', async (query, param) => {
    const response = await usageOf(query);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain(param);
  });
});

test('a batch tells what its lines have cost', async () => {
  const openai = new OpenAI({ apiKey: testKey, baseURL: `${sluice.url}/v1`, maxRetries: 0 });
  const lines = ['a', 'b', 'c'].map((id) =>
    JSON.stringify({
      custom_id: id,
      method: 'POST',
      url: '/v1/chat/completions',
      body: priced(`line ${id}`),
    }),
  );
  const file = new File([`${lines.join('\n')}\n`], 'in.jsonl');
  const { id: input_file_id } = await openai.files.create({ file, purpose: 'batch' });
  const made = await openai.batches.create({
    input_file_id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
  });
  const done = await until('the batch has ended', async () => {
    const batch = await openai.batches.retrieve(made.id);
    return batch.status === 'completed' ? batch : undefined;
  });
  expect(done.usage).toMatchObject({ input_tokens: 3_000, cost_usd: 3 * price });
});

async function redisNowMs(): Promise<number> {
  const redis = sluice.redis.connect();
  const [seconds] = await redis.time();
  redis.disconnect();
  return Number(seconds) * 1_000;
}
