import type { Redis } from 'ioredis';
import OpenAI from 'openai';
import { parseRateLimit } from 'ratelimit-header-parser';
import { parseList } from 'structured-headers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobObject } from '#shared/jobs/job-object.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { keys } from '#shared/redis/keys.ts';
import { RedisProcess } from '../harness/redis-process.ts';
import { chat, newSimulator, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt, untilCalled } from './support.ts';

const prices = {
  'gpt-5-mini': { input: 100, output: 100 },
  'no-such-cheap': { input: 1, output: 1 },
};
/** Every test has a tenant of its own. */
const customers = {
  requests: { limits: [{ requests: 3, window: '1h' }] },
  seconds: { limits: [{ requests: 1, window: '1s' }] },
  tokens: { limits: [{ tokens: 5_000, window: '1h' }] },
  users: { limits: [{ requests: 1, window: '1h', per: ['user'] }] },
  parallel: { limits: [{ concurrency: 1 }] },
  line: { limits: [{ concurrency: 1, on_full: 'queue' }] },
  paced: { limits: [{ requests: 1, window: '1h', on_full: 'queue' }] },
  rich: { budgets: [{ usd: 0.05 }] },
  broke: { budgets: [{ usd: 0.0001 }] },
  unpriced: { budgets: [{ usd: 1 }] },
  thrifty: {
    budgets: [{ usd: 0.01, match: { model: 'gpt-*' }, on_exhausted: { model: 'no-such-cheap' } }],
  },
  streamed: { limits: [{ requests: 9, window: '1h' }] },
  free: {},
  deep: {},
} as const;
const keyOf = (tenant: string) => `sk-sl-${tenant}`;

let sluice: TestSluice;
beforeAll(async () => {
  const [redis, simulator] = await Promise.all([RedisProcess.start(), newSimulator()]);
  sluice = await startSluice({
    redis,
    simulator,
    settings: {
      streams: { waiting_ms: 200 },
      providers: { openai: { prices, price_list: 'none' } },
      customers: Object.fromEntries(
        Object.entries(customers).map(([tenant, quotas]) => [
          tenant,
          {
            ...quotas,
            keys: [
              {
                ...{ id: 'k', key: keyOf(tenant) },
                ...(tenant === 'deep' ? { max_queue_depth: 2, warn_queue_depth: 1 } : {}),
              },
            ],
          },
        ]),
      ) as object,
    },
  });
});
afterAll(async () => {
  await sluice.stop();
  await Promise.all([sluice.simulator.stop(), sluice.redis.stop()]);
});

const by = (tenant: string, more: Record<string, string> = {}) => ({
  authorization: `Bearer ${keyOf(tenant)}`,
  ...more,
});
const call = (tenant: string, more: Record<string, string> = {}, body = chat()) =>
  sluice.post('/v1/chat/completions', body, by(tenant, more));
const header = (response: Response, name: string) => response.headers.get(name);

interface Refusal {
  type: string;
  status_code: number;
  error: Record<string, unknown> & { code: string; retry_after_ms: number };
}

test('429 request_limited: says which limit, how far it is used and when to come back, in body and headers', async () => {
  for (const remaining of ['2', '1', '0']) {
    const answer = await call('requests');
    expect([answer.status, header(answer, 'x-ratelimit-remaining-requests')]).toEqual([200, remaining]);
  }
  const refused = await call('requests');
  const body = (await refused.json()) as Refusal;
  expect(refused.status).toBe(429);
  expect(body).toMatchObject({ type: 'request_limited', status_code: 429 });
  expect(body.error).toMatchObject({ type: 'rate_limit_error', code: 'request_limited', param: null });
  expect(body.error).toMatchObject({ axis: 'customer', limit: 3, current: 3, window_seconds: 3_600 });
  const retryMs = body.error.retry_after_ms;
  expect(retryMs).toBeGreaterThan(3_500_000);
  expect(header(refused, 'retry-after-ms')).toBe(String(retryMs));
  expect(header(refused, 'retry-after')).toBe(String(Math.ceil(retryMs / 1_000)));
  expect(header(refused, 'x-should-retry'), 'an SDK would come back long before').toBe('false');
  expect(header(refused, 'x-ratelimit-remaining-requests')).toBe('0');
});

test('headers on success and on 429 alike, which public parsers read', async () => {
  const answers = [
    await call('seconds'),
    await call('seconds'),
    await sluice.get('/v1/models', by('seconds')),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 429, 200]);
  for (const answer of answers) {
    const parsed = parseRateLimit(answer.headers)!;
    expect(parsed).toMatchObject({ limit: 1, remaining: 0 });
    const [[policy, { q, w }]] = parseList(header(answer, 'ratelimit-policy')!).map(
      ([name, parameters]) => [name, Object.fromEntries(parameters)] as const,
    ) as [[unknown, Record<string, unknown>]];
    expect([policy, q, w]).toEqual(['customer', 1, 1]);
    const [[name, parameters]] = parseList(header(answer, 'ratelimit')!) as [[unknown, Map<string, unknown>]];
    expect([name, parameters.get('r')]).toEqual(['customer', 0]);
    expect(header(answer, 'x-ratelimit-reset-requests')).toMatch(/^\d+(\.\d+)?(ms|s)$/);
  }
});

test('streams, those that join one, and event streams of jobs tell how their caller stands before their first byte', async () => {
  const asked = { ...chat(), stream: true };
  const first = await call('streamed', { 'idempotency-key': 'stream' }, asked);
  const joined = await call('streamed', { 'idempotency-key': 'stream' }, asked);
  const jobId = header(first, 'x-sluice-job-id');
  const events = await sluice.get(`/v1/jobs/${jobId}/events`, by('streamed'));
  for (const answer of [first, joined, events]) {
    expect(header(answer, 'content-type')).toContain('text/event-stream');
    expect(parseRateLimit(answer.headers)).toMatchObject({ limit: 9, remaining: 8 });
    await answer.text();
  }
  expect(header(joined, 'x-sluice-job-id')).toBe(jobId);
});

test('a caller without quotas is told nothing', async () => {
  for (const answer of [await call('free'), await sluice.get('/v1/models', by('free'))])
    expect([...answer.headers.keys()].filter((name) => name.includes('ratelimit'))).toEqual([]);
});

test('constant or doubled Retry-After: the openai SDK waits as long as we say, and then succeeds', async () => {
  const client = new OpenAI({ baseURL: `${sluice.url}/v1`, apiKey: keyOf('seconds'), maxRetries: 1 });
  await until('the window is free again', async () => (await call('seconds')).status === 200, 10_000);
  // By itself it would come back too early, after half a second, and give up.
  const before = arrivalsAt(sluice.simulator).length;
  const answer = await client.chat.completions.create(chat() as never);
  expect(answer.choices).toHaveLength(1);
  expect(arrivalsAt(sluice.simulator).length - before, 'refused calls never reach a provider').toBe(1);
});

test('TPM-only config never limited: tokens are reserved when a call is accepted, and trued up when it has ended', async () => {
  const answer = await call('tokens', {}, { ...chat(), max_tokens: 4_000 });
  expect(answer.status).toBe(200);
  const used = ((await answer.json()) as { usage: { total_tokens: number } }).usage.total_tokens;
  const reserved = 5_000 - Number(header(answer, 'x-ratelimit-remaining-tokens'));
  expect(reserved).toBeGreaterThanOrEqual(4_000);
  const next = await sluice.get('/v1/models', by('tokens'));
  expect(Number(header(next, 'x-ratelimit-remaining-tokens'))).toBe(5_000 - used);
});

test('reservation floor above the limit: a call that could never fit is refused for good, with what to do', async () => {
  const refused = await call('tokens', {}, { ...chat(), max_tokens: 6_000 });
  expect(refused.status).toBe(400);
  expect(header(refused, 'x-should-retry')).toBe('false');
  const { error } = (await refused.json()) as Refusal;
  expect(error.code).toBe('request_exceeds_limit');
  expect(error.message).toMatch(/may need 60\d\d tokens, more than the 5000 .* lower its maximum/);
});

test('a limit of the customer per user gives each user a count of its own, whoever names them', async () => {
  const statuses = async (user?: string) => {
    const headers: Record<string, string> = user ? { 'x-sluice-user': user } : {};
    return [(await call('users', headers)).status, (await call('users', headers)).status];
  };
  expect(await statuses('ann')).toEqual([200, 429]);
  expect(await statuses('ben')).toEqual([200, 429]);
  expect(await statuses(), 'calls that name nobody share one').toEqual([200, 429]);
  const inBody = await call('users', {}, { ...chat(), user: 'ann' });
  expect(inBody.status, 'the user of the body is the same user').toBe(429);
});

test('429 rate_limited: calls at once are bounded, and a place is free when its call has ended, however it ends', async () => {
  const slow = chat('slow', { delayMs: 60_000 });
  const first = await submitBy('parallel', slow);
  const refused = await call('parallel');
  expect([refused.status, ((await refused.json()) as Refusal).error.code]).toEqual([429, 'rate_limited']);
  await untilCalled(sluice, first);
  await sluice.post(`/v1/jobs/${first}/cancel`, {}, by('parallel'));
  await until('the place is free', async () => (await call('parallel')).status === 200);
});

/** Submits a chat call as a job of this tenant; its id. */
async function submitBy(tenant: string, body: unknown, more: Record<string, unknown> = {}): Promise<string> {
  const job = { endpoint: '/v1/chat/completions', body, ...more };
  const answer = await sluice.post('/v1/jobs', job, by(tenant));
  const { id } = (await answer.json()) as { id: string };
  if (answer.status !== 202) throw new Error(`not accepted: ${answer.status}`);
  return id;
}

test('a call that waits for a quota is accepted, says so, and begins when there is room, without being charged twice', async () => {
  const first = await submitBy('line', chat('slow', { delayMs: 60_000 }));
  await untilCalled(sluice, first);
  const second = await submitBy('line', chat());
  const waiting = await until('it waits for the quota', async () => {
    const job = await jobBy('line', second);
    return job.wait_reason === 'quota' ? job : undefined;
  });
  expect(waiting).toMatchObject({ status: 'queued', wait_quota: 'customer concurrency' });
  await sluice.post(`/v1/jobs/${first}/cancel`, {}, by('line'));
  await until('it has begun and succeeded', async () => (await jobBy('line', second)).status === 'succeeded');
  expect(await openCounts('line'), 'every place is free again').toEqual({});
});

test('a streamed call that waits for a quota hears of it in the comments', async () => {
  const first = await submitBy('line', chat('slow', { delayMs: 60_000 }));
  await untilCalled(sluice, first);
  const stream = await call('line', {}, { ...chat(), stream: true });
  const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  expect(value).toMatch(/^: waiting \{.*"wait_reason":"quota","wait_quota":"customer concurrency"/);
  await reader.cancel();
  await sluice.post(`/v1/jobs/${first}/cancel`, {}, by('line'));
  await until('nobody stands in line', async () => Object.keys(await openCounts('line')).length === 0);
});

test('wait queue without maximum wait: a call that would wait beyond its deadline is refused, or expires uncharged', async () => {
  expect((await call('paced')).status).toBe(200);
  const refused = await call('paced', { 'x-sluice-deadline': '60' });
  expect([refused.status, ((await refused.json()) as Refusal).type]).toEqual([429, 'request_limited']);
  const first = await submitBy('line', chat('slow', { delayMs: 60_000 }));
  await untilCalled(sluice, first);
  const second = await submitBy('line', chat(), { deadline_seconds: 2 });
  await until('it has expired', async () => (await jobBy('line', second)).status === 'expired', 10_000);
  await sluice.post(`/v1/jobs/${first}/cancel`, {}, by('line'));
  await until('nobody stands in line', async () => Object.keys(await openCounts('line')).length === 0);
});

test('429 budget_exceeded: what a call may cost is set aside, and what it cost is what is spent', async () => {
  const refused = await call('broke', {}, { ...chat(), max_tokens: 1 });
  expect(refused.status, 'it could never fit').toBe(400);
  const body = { ...chat(), max_tokens: 30 };
  expect((await call('rich', {}, body)).status).toBe(200);
  const statuses = await Promise.all(Array.from({ length: 20 }, () => call('rich', {}, body)));
  const limited = statuses.find(({ status }) => status === 429)!;
  const { type, error } = (await limited.json()) as Refusal;
  expect([type, error.dimension, error.limit]).toEqual(['budget_exceeded', 'usd', 0.05]);
  const ledger = await rowsOf('rich');
  const spent = ledger.reduce((sum, row) => sum + Number(row.nanoUsd), 0);
  expect(spent).toBeLessThanOrEqual(50_000_000);
  expect(await totalOf('rich'), 'the budget says what the ledger says').toBe(spent);
});

test('403 price_unknown: a call that a budget counts needs a price', async () => {
  const refused = await call('unpriced', {}, { ...chat(), model: 'no-such-price' });
  expect([refused.status, ((await refused.json()) as Refusal).error.code]).toEqual([403, 'price_unknown']);
});

test('an exhausted budget has the call made with the cheaper model it names', async () => {
  const dear = { ...chat(), max_tokens: 30 };
  const models: (string | null)[] = [];
  for (let calls = 0; calls < 6; calls++)
    models.push(header(await call('thrifty', {}, dear), 'x-sluice-model'));
  expect(models[0]).toBe('gpt-5-mini');
  expect(models.at(-1)).toBe('no-such-cheap');
});

test('429 queue_full: a key has a bound of its own, and warns before it', async () => {
  const jobs = [await submitBy('deep', chat(), { run_at: later().run_at })];
  const warned = await sluice.post('/v1/jobs', later(), by('deep'));
  expect([warned.status, header(warned, 'x-sluice-backpressure')]).toEqual([202, 'queue;depth=2;limit=2']);
  const refused = await sluice.post('/v1/jobs', later(), by('deep'));
  const body = (await refused.json()) as Record<string, unknown>;
  expect([refused.status, body]).toMatchObject([
    429,
    { code: 'queue_full', axis: 'key', current: 2, limit: 2 },
  ]);
  jobs.push(((await warned.json()) as { id: string }).id);
  for (const id of jobs) await sluice.post(`/v1/jobs/${id}/cancel`, {}, by('deep'));
  expect(await openCounts('deep')).toEqual({});
});

const later = () => ({
  endpoint: '/v1/chat/completions',
  body: chat(),
  run_at: Math.ceil(systemClock.nowMs() / 1_000) + 60,
});

const jobBy = async (tenant: string, id: string) =>
  (await (await sluice.get(`/v1/jobs/${id}`, by(tenant))).json()) as JobObject;

/** Runs one command on a connection of its own. */
async function ask<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = sluice.redis.connect();
  try {
    return await command(redis);
  } finally {
    redis.disconnect();
  }
}

const openCounts = (tenant: string) => ask((redis) => redis.hgetall(`${keys.quota(tenant)}open`));

async function rowsOf(tenant: string): Promise<Record<string, string>[]> {
  const rows = await ask((redis) => redis.xrange(keys.ledger(tenant), '-', '+'));
  return rows.map(([, fields]) =>
    Object.fromEntries(fields.flatMap((name, at) => (at % 2 === 0 ? [[name, fields[at + 1]!]] : []))),
  );
}

/** What the only window of a tenant counts. */
async function totalOf(tenant: string): Promise<number> {
  return ask(async (redis) => {
    const [counter] = await redis.keys(`${keys.quota(tenant)}c:*`);
    return Number(await redis.hget(counter!, 't'));
  });
}
