import { afterAll, beforeAll, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { captureProvider } from './support.ts';

/** One token costs 100,000 nano-USD, whichever it is. */
const price = { input: 100, output: 100 };
const nanoPerToken = 100_000;
const cap = 200;
const budgets = { crowd: 0.25, small: 0.01, told: 1 };
const keyOf = (tenant: string) => `sk-sl-${tenant}`;
/** The provider writes this much unless it is asked for less. */
const long = { outputTokens: 5_000 };

let sluice: TestSluice;
let provider: Awaited<ReturnType<typeof captureProvider>>;
beforeAll(async () => {
  provider = await captureProvider({ body: {} });
  const credentials = [{ id: 'main', api_key: 'sk-simulator' }];
  sluice = await startSluice({
    settings: {
      quotas: { capped_output_tokens: cap },
      providers: {
        openai: { prices: { '*': price }, price_list: 'none' },
        anthropic: { prices: { '*': price }, price_list: 'none' },
        compatible: {
          ...{ dialect: 'openai', base_url: `${provider.url}/v1`, credentials, prices: { '*': price } },
          // Its answers are empty, which is a failure each time.
          pools: { all: { models: ['mistral-large', 'o4-mini'], breaker: { failures_max: 1_000 } } },
        },
        google: {
          ...{ dialect: 'gemini', base_url: provider.url, credentials, prices: { '*': price } },
          pools: { all: { models: ['gemini-3-flash'] } },
        },
      },
      customers: {
        ...Object.fromEntries(
          Object.entries(budgets).map(([id, usd]) => [
            id,
            { budgets: [{ usd }], limits: [{ tokens: 1_000_000 }], keys: [{ id: 'k', key: keyOf(id) }] },
          ]),
        ),
      },
    } as object,
  });
});
afterAll(async () => {
  await sluice.stop();
  await provider.stop();
});

const call = (tenant: string, body: Record<string, unknown>, path = '/v1/chat/completions') =>
  sluice.post(path, body, { authorization: `Bearer ${keyOf(tenant)}` });

async function openJobs(tenant: string): Promise<number> {
  const store = sluice.redis.connect();
  const open = await store.zcard(keys.open(tenant));
  store.disconnect();
  return open;
}

async function spent(tenant: string): Promise<number> {
  const store = sluice.redis.connect();
  const rows = await store.xrange(keys.ledger(tenant), '-', '+');
  store.disconnect();
  return rows.reduce((sum, [, row]) => sum + Number(row[row.indexOf('nanoUsd') + 1]), 0);
}

test('1,000 calls at once that name no maximum, against a budget for 10: never over, though each would write 25 times as much', async () => {
  const entry = { endpoint: '/v1/chat/completions', body: chat('long', long) };
  const authorization = `Bearer ${keyOf('crowd')}`;
  const submitted = await sluice.post('/v1/jobs', Array(1_000).fill(entry), { authorization });
  const { data } = (await submitted.json()) as { data: { status: number; job?: { id: string } }[] };
  const taken = data.flatMap(({ job }) => job?.id ?? []);
  expect(data.filter(({ status }) => status === 429)).toHaveLength(1_000 - taken.length);
  await Promise.all(
    taken.map((id) => sluice.get(`/v1/jobs/${id}/result`, { authorization, prefer: 'wait=30' })),
  );
  await until('all have ended', async () => (await openJobs('crowd')) === 0);
  const nano = await spent('crowd');
  expect(nano).toBeLessThanOrEqual(budgets.crowd * 1e9);
  // Each has used what was set aside for its output, so that hardly one more would have fitted.
  expect(nano).toBeGreaterThan(budgets.crowd * 1e9 - (cap + 100) * nanoPerToken);
});

test.each([
  ['/v1/chat/completions', chat('long', long), 'completion_tokens'],
  ['/v1/chat/completions', { ...chat('long', long), model: 'claude-sonnet-5' }, 'completion_tokens'],
  [
    '/v1/completions',
    { model: 'gpt-5-mini', prompt: `long [[sim:${JSON.stringify(long)}]]` },
    'completion_tokens',
  ],
  ['/v1/responses', { model: 'gpt-5-mini', input: `long [[sim:${JSON.stringify(long)}]]` }, 'output_tokens'],
])(
  '%s of %o: the provider is asked for no more than the budget holds, and the caller is told',
  async (path, body, field) => {
    const answer = await call('told', body, path);
    const { usage } = (await answer.json()) as { usage: Record<string, number> };
    expect([answer.status, answer.headers.get('x-sluice-output-cap'), usage[field]]).toEqual([
      200,
      '200',
      200,
    ]);
  },
);

test.each([
  ['/v1/chat/completions', { ...chat(), model: 'mistral-large' }, { max_tokens: cap }],
  ['/v1/chat/completions', { ...chat(), model: 'o4-mini' }, { max_completion_tokens: cap }],
  [
    '/v1beta/models/gemini-3-flash:generateContent',
    { contents: [{ parts: [{ text: 'hello' }] }], generationConfig: { temperature: 0.5 } },
    { generationConfig: { temperature: 0.5, maxOutputTokens: cap } },
  ],
])('%s of %o: the maximum is asked for in the words of the model', async (path, body, asked) => {
  await call('told', body, path);
  const sent = JSON.parse(provider.captured.at(-1)!.body) as Record<string, unknown>;
  const { model, ...rest } = body as Record<string, unknown>;
  expect(sent).toEqual({ ...(model === undefined ? {} : { model }), ...rest, ...asked });
});

test('internal bookkeeping fields leaked to the provider: what quotas and budgets count is sent as its caller wrote it', async () => {
  const body = { ...chat(), model: 'mistral-large', max_tokens: 5, user: 'ada' };
  const axes = { 'x-sluice-user': 'ada', 'x-sluice-feature': 'search' };
  const authorization = `Bearer ${keyOf('told')}`;
  await sluice.post('/v1/chat/completions', body, { authorization, ...axes });
  const sent = provider.captured.at(-1)!;
  expect(sent.body).toBe(JSON.stringify(body));
  expect(Object.keys(sent.headers).filter((name) => /sluice|limit|quota|budget/.test(name))).toEqual([]);
});

test('a maximum that the caller names is its own, and callers without a budget are not capped', async () => {
  const named = await call('told', { ...chat('long', long), max_tokens: 300 });
  const free = await sluice.post('/v1/chat/completions', chat('long', long));
  const tokensOf = async (answer: Response) =>
    ((await answer.json()) as { usage: { completion_tokens: number } }).usage.completion_tokens;
  expect([await tokensOf(named), await tokensOf(free)]).toEqual([300, 5_000]);
  expect([named, free].map(({ headers }) => headers.get('x-sluice-output-cap'))).toEqual([null, null]);
});

test('a budget too small for the cap is asked for what it can pay, and no call is refused for good that could be made', async () => {
  const answer = await call('small', chat('long', long));
  expect(answer.status).toBe(200);
  const capped = Number(answer.headers.get('x-sluice-output-cap'));
  expect(capped).toBeGreaterThan(50);
  expect(capped).toBeLessThan(100);
  expect(await spent('small')).toBeLessThanOrEqual(budgets.small * 1e9);
});
