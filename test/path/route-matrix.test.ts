import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type KeyScope, keyScopes } from '#config/customer-schema.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { chatLine, openaiAt, startBatch } from '../harness/batches.ts';
import { openRouteBook, type RouteBook } from '../harness/route-book.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { refusalOf } from '../harness/socket-client.ts';
import { otherKey, testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { compressed } from '../webhooks/support.ts';
import { captureProvider, submit, untilStatus } from './support.ts';

/** Stands in everything the first tenant owns, and in nothing that another tenant may be told. */
const marker = 'a-text-of-acme-alone';
type Owned = Record<'id' | 'delivery', string>;

interface Row {
  scope: KeyScope | 'any';
  /** Makes what the route is asked for, as the first tenant. */
  plant?: () => Promise<Partial<Owned>>;
  body?: (owned: Partial<Owned>) => unknown;
  headers?: Record<string, string>;
  /** What comes after the path. */
  query?: string;
  /** Values of the parameters of the path that are not ids. */
  params?: Record<string, string>;
  /** Must be in the owner's answer, and not in the other tenant's; without it only the marker must not be there. */
  shows?: string;
  /** The other tenant is told 404; unset: where the path has an id. */
  foreignIsUnknown?: boolean;
}

const bodyOf = (body: unknown) => () => body;
const claude = { model: 'claude-sonnet-5', max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] };
const contents = { contents: [{ role: 'user', parts: [{ text: 'hi' }] }] };
const part = { content: { parts: [{ text: 'hi' }] } };
const geminiModel = 'gemini-of-the-tests';
/** Right for every method of Google's that no other provider can stand in for. */
const geminiAnswer = {
  candidates: [{ content: { role: 'model', parts: [{ text: 'hi' }] }, finishReason: 'STOP' }],
  embedding: { values: [1] },
  embeddings: [{ values: [1] }],
  totalTokens: 1,
};
const gemini = (body: unknown): Row => ({
  scope: 'calls',
  params: { 'model(^.+)': geminiModel },
  body: bodyOf(body),
});
const ofJob = { scope: 'jobs', plant: plantJob } as const;
const ofFile = { scope: 'files', plant: () => plantFile() } as const;
const ofBatch = { scope: 'batches', plant: plantBatch } as const;
const ofEndpoint = { scope: 'webhooks', plant: plantEndpoint } as const;
const endpointUrl = `http://127.0.0.1:9/${marker}`;

/** A sample request for every route of the public API that asks for a key. */
const rows: Record<string, Row> = {
  'POST /v1/chat/completions': {
    scope: 'calls',
    plant: plantAnswer,
    body: bodyOf(chat(marker)),
    headers: { 'x-sluice-cache': 'exact' },
    shows: 'x-sluice-cache-status: hit',
  },
  'POST /v1/responses': { scope: 'calls', body: bodyOf({ model: 'gpt-5-mini', input: 'hi' }) },
  'POST /v1/completions': { scope: 'calls', body: bodyOf({ model: 'gpt-5-mini', prompt: 'hi' }) },
  'POST /v1/embeddings': { scope: 'calls', body: bodyOf({ model: 'text-embedding-3-small', input: 'hi' }) },
  'POST /v1/messages': { scope: 'calls', body: bodyOf(claude) },
  'POST /v1/messages/count_tokens': {
    scope: 'calls',
    body: bodyOf({ model: claude.model, messages: claude.messages }),
  },
  'POST /v1beta/models/:model(^.+)::generateContent': gemini(contents),
  'POST /v1beta/models/:model(^.+)::streamGenerateContent': {
    ...gemini(contents),
    params: { 'model(^.+)': 'gpt-5-mini' },
    query: '?alt=sse',
  },
  'POST /v1beta/models/:model(^.+)::embedContent': gemini(part),
  'POST /v1beta/models/:model(^.+)::batchEmbedContents': gemini({ requests: [part] }),
  'POST /v1beta/models/:model(^.+)::countTokens': gemini(contents),
  'POST /v1beta/models/*': {
    scope: 'calls',
    params: { '*': 'openai/gpt-5-mini:generateContent' },
    body: bodyOf(contents),
  },
  'DELETE /v1/cache': { scope: 'calls', plant: plantOnlyAnswer, shows: '"deleted":1' },
  'GET /v1/models': { scope: 'any' },
  'GET /v1/models/*': { scope: 'any', params: { '*': 'gpt-5-mini' } },
  'GET /v1/usage': { scope: 'any', plant: plantUsage, query: '?group_by=feature', shows: marker },
  'POST /v1/jobs': {
    scope: 'jobs',
    body: bodyOf({ endpoint: '/v1/chat/completions', body: chat() }),
  },
  'GET /v1/jobs': { ...ofJob, shows: marker },
  'GET /v1/jobs/:id': { ...ofJob, shows: marker },
  'GET /v1/jobs/:id/result': { ...ofJob, shows: '"chat.completion"' },
  'GET /v1/jobs/:id/events': { ...ofJob, shows: 'event: completed' },
  'POST /v1/jobs/:id/cancel': { scope: 'jobs', plant: plantLaterJob, shows: marker },
  'GET /v1/ws': { scope: 'jobs' },
  'POST /v1/ws/tickets': { scope: 'jobs' },
  'POST /v1/files': { scope: 'files', body: upload },
  'GET /v1/files': { ...ofFile, shows: marker },
  'GET /v1/files/:id': { ...ofFile, shows: marker },
  'GET /v1/files/:id/content': { ...ofFile, shows: marker },
  'DELETE /v1/files/:id': { ...ofFile, shows: '"deleted":true' },
  'POST /v1/batches': {
    scope: 'batches',
    plant: () => plantFile(),
    body: ({ id }) => ({
      input_file_id: id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { marker },
    }),
    shows: marker,
    foreignIsUnknown: true,
  },
  'GET /v1/batches': { ...ofBatch, shows: marker },
  'GET /v1/batches/:id': { ...ofBatch, shows: marker },
  'GET /v1/batches/:id/output': { ...ofBatch, shows: marker },
  'POST /v1/batches/:id/cancel': { scope: 'batches', plant: plantHangingBatch, shows: marker },
  'POST /v1/webhook-endpoints': { scope: 'webhooks', body: bodyOf({ url: 'http://127.0.0.1:9/' }) },
  'GET /v1/webhook-endpoints': { ...ofEndpoint, shows: marker },
  'GET /v1/webhook-endpoints/:id': { ...ofEndpoint, shows: marker },
  'PATCH /v1/webhook-endpoints/:id': { ...ofEndpoint, body: bodyOf({ events: [] }), shows: marker },
  'DELETE /v1/webhook-endpoints/:id': { ...ofEndpoint, shows: '"deleted":true' },
  'POST /v1/webhook-endpoints/:id/rotate-secret': { ...ofEndpoint, shows: 'whsec_' },
  'POST /v1/webhook-endpoints/:id/test': { ...ofEndpoint, shows: '"webhook_test"' },
  'GET /v1/webhook-endpoints/:id/deliveries': { ...ofEndpoint, shows: 'webhook.test' },
  'POST /v1/webhook-endpoints/:id/deliveries/:delivery/redeliver': { ...ofEndpoint, shows: 'webhook.test' },
  'POST /v1/webhook-endpoints/:id/recover': {
    ...ofEndpoint,
    body: bodyOf({ since: '2026-01-01T00:00:00Z' }),
  },
};

const publicRoutes = ['GET /healthz', 'GET /readyz'];
const isPublic = (route: string) => publicRoutes.includes(route) || /^GET \/docs(\/|$)/.test(route);

const expired = 'sk-sl-of-yesterday';
const revoked = 'sk-sl-that-was-revoked';
/** Of the scopes, all but that one. */
const without = (scope: KeyScope) => `sk-sl-without-${scope}`;
/** For nothing but what needs no scope. */
const bare = 'sk-sl-without-any-scope';

let sluice: TestSluice;
let book: RouteBook;
let google: Awaited<ReturnType<typeof captureProvider>>;
beforeAll(async () => {
  google = await captureProvider({ body: geminiAnswer });
  book = openRouteBook();
  sluice = await startSluice({
    withWebhooks: true,
    settings: {
      webhooks: compressed,
      providers: {
        google: {
          dialect: 'gemini',
          base_url: google.url,
          credentials: [{ id: 'main', api_key: 'sk-simulator' }],
          pools: { gemini: { models: [geminiModel], concurrency: 8 } },
        },
      },
      customers: {
        acme: {
          keys: [
            { id: 'test', key: testKey },
            { id: 'expired', key: expired, expires_at: '2020-01-01T00:00:00Z' },
            { id: 'revoked', key: revoked, is_active: false },
            { id: 'bare', key: bare, scopes: [] },
            ...keyScopes.map((scope) => ({
              id: scope,
              key: without(scope),
              scopes: keyScopes.filter((each) => each !== scope),
            })),
          ],
        },
      },
    },
  });
});
afterAll(async () => {
  await sluice.stop();
  book.close();
  await google.stop();
});

const plantedJob = { metadata: { marker } };

async function plantJob() {
  const id = await submit(sluice, chat(marker), plantedJob);
  await untilStatus(sluice, id, 'succeeded');
  return { id };
}

async function plantLaterJob() {
  return {
    id: await submit(sluice, chat(marker), {
      ...plantedJob,
      run_at: Math.ceil(systemClock.nowMs() / 1_000) + 600,
    }),
  };
}

async function plantUsage() {
  const counted = { 'x-sluice-feature': marker };
  await (await sluice.post('/v1/chat/completions', chat(marker), counted)).text();
  return {};
}

async function plantAnswer() {
  await until('the answer is kept', async () => {
    const again = await sluice.post('/v1/chat/completions', chat(marker), { 'x-sluice-cache': 'exact' });
    await again.text();
    return again.headers.get('x-sluice-cache-status') === 'hit' || undefined;
  });
  return {};
}

/** The other tenant has none of its own then. */
async function plantOnlyAnswer() {
  await ask('DELETE /v1/cache', otherKey);
  return plantAnswer();
}

function upload() {
  const form = new FormData();
  form.append('purpose', 'batch');
  form.append('file', new Blob([JSON.stringify(chatLine('line', chat()))]), 'in.jsonl');
  return form;
}

async function plantFile(fault?: Record<string, unknown>) {
  const line = `${JSON.stringify(chatLine(marker, chat(marker, fault)))}\n`;
  const file = await toFile(Buffer.from(line), `${marker}.jsonl`);
  const { id } = await openaiAt(sluice.url).files.create({ file, purpose: 'batch' });
  return { id };
}

async function startPlanted(fault?: Record<string, unknown>) {
  const { id } = await plantFile(fault);
  return startBatch(openaiAt(sluice.url), id, { metadata: { marker } });
}

async function plantHangingBatch() {
  return { id: (await startPlanted({ hang: true })).id };
}

async function plantBatch() {
  const { id } = await startPlanted();
  await until('its line is answered', async () => {
    const output = await sluice.get(`/v1/batches/${id}/output`);
    return (await output.text()).includes(marker) || undefined;
  });
  return { id };
}

async function plantEndpoint() {
  const made = await sluice.post('/v1/webhook-endpoints', { url: endpointUrl, events: [] });
  const { id } = (await made.json()) as { id: string };
  const tested = await sluice.post(`/v1/webhook-endpoints/${id}/test`, '');
  const { delivery } = (await tested.json()) as { delivery: string };
  await until('its message is listed', async () => {
    const listed = await sluice.get(`/v1/webhook-endpoints/${id}/deliveries`);
    return (await listed.text()).includes(delivery) || undefined;
  });
  return { id, delivery };
}

interface Answer {
  status: number;
  code: string | undefined;
  /** Everything that came back: headers and body. */
  all: string;
}

async function ask(route: string, key: string | undefined, owned: Partial<Owned> = {}): Promise<Answer> {
  const { body, headers, query = '', params = {} } = rows[route]!;
  const [method, url] = route.split(' ') as [string, string];
  const values = Object.entries({ id: 'x', delivery: 'x', ...owned, ...params });
  const path = values
    .reduce((filled, [name, value]) => filled.replace(name === '*' ? '*' : `:${name}`, value), url)
    .replace('::', ':');
  const sent = body?.(owned);
  const isJson = sent !== undefined && !(sent instanceof FormData);
  const response = await fetch(`${sluice.url}${path}${query}`, {
    method,
    headers: {
      ...headers,
      ...(isJson ? { 'content-type': 'application/json' } : {}),
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    },
    ...(sent === undefined ? {} : { body: sent instanceof FormData ? sent : JSON.stringify(sent) }),
  });
  const text = await response.text();
  const told = [...response.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
  return { status: response.status, code: codeOf(text), all: `${told}\n\n${text}` };
}

interface ToldError {
  code?: string;
  /** Google's place for it. */
  details?: { reason: string }[];
}

function codeOf(text: string): string | undefined {
  if (!text.startsWith('{')) return undefined;
  const { code, error } = JSON.parse(text) as { code?: string; error?: ToldError | null };
  return error?.details?.[0]?.reason ?? error?.code ?? code;
}

const refusal = async (answer: Promise<Answer>) => {
  const { status, code, all } = await answer;
  expect(all).not.toContain(marker);
  return [status, code];
};

test('every route of the public API is in this matrix or public, and nothing else is', () => {
  const [routes] = book.servers;
  const keyed = [...routes!].filter((route) => !route.startsWith('HEAD ') && !isPublic(route));
  const missing = keyed.filter((route) => !(route in rows));
  expect(missing, 'add a row with a sample request for each of these to `rows`').toEqual([]);
  const gone = [...Object.keys(rows), ...publicRoutes].filter((route) => !routes!.has(route));
  expect(gone, 'no such route any more: take its row out').toEqual([]);
  expect(keyed.length).toBeGreaterThan(40);
});

test('HEAD asks for a key wherever GET does', async () => {
  for (const route of book.servers[0]!) {
    const [method, url] = route.split(' ') as [string, string];
    if (method !== 'HEAD' || isPublic(`GET ${url}`)) continue;
    const path = url.replaceAll(/:\w+|\*/g, 'x');
    expect((await fetch(`${sluice.url}${path}`, { method: 'HEAD' })).status, route).toBe(401);
  }
});

describe.each(Object.entries(rows))('%s', (route, row) => {
  const { scope, plant, shows } = row;

  test('401 without a key that is valid', async () => {
    expect(await refusal(ask(route, undefined))).toEqual([401, 'missing_key']);
    expect(await refusal(ask(route, 'sk-sl-nobody'))).toEqual([401, 'invalid_key']);
    expect(await refusal(ask(route, revoked))).toEqual([401, 'key_revoked']);
    expect(await refusal(ask(route, expired))).toEqual([401, 'key_expired']);
    expect(await refusal(ask(route, revoked.slice(0, -1)))).toEqual([401, 'invalid_key']);
    expect(await refusal(ask(route, `${expired}x`))).toEqual([401, 'invalid_key']);
  });

  if (scope === 'any')
    test('needs no scope', async () => {
      expect((await ask(route, bare)).status).toBe(200);
    });
  else
    test(`403 with a key for everything but ${scope}`, async () => {
      expect(await refusal(ask(route, without(scope)))).toEqual([403, 'wrong_scope']);
    });

  test('shows another tenant nothing, and its own what is there', async () => {
    const owned = (await plant?.()) ?? {};
    const foreign = await ask(route, otherKey, owned);
    expect(foreign.all).not.toContain(shows ?? marker);
    expect(foreign.all).not.toContain(marker);
    if (row.foreignIsUnknown ?? route.includes('/:id')) expect(foreign.status).toBe(404);
    else expect([401, 403, 404], foreign.all).not.toContain(foreign.status);
    const own = await ask(route, testKey, owned);
    // 426: the socket's route was reached by a request that is no upgrade.
    expect([200, 201, 202, 426], own.all).toContain(own.status);
    if (shows !== undefined) expect(own.all).toContain(shows);
  });
});

describe('a WebSocket is refused before the upgrade', () => {
  test.each([
    ['no key', undefined, 401],
    ['a key of nobody', 'sk-sl-nobody', 401],
    ['a revoked key', revoked, 401],
    ['an expired key', expired, 401],
    ['a key without the scope', without('jobs'), 403],
    ['a valid key', testKey, 101],
  ])('%s: %s → %i', async (_name, key, status) => {
    const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
    expect(await refusalOf(sluice.url, { headers })).toBe(status);
  });
});
