import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { KeySettings } from '#config/customer-schema.ts';
import { keySchema } from '#config/customer-schema.ts';
import type { Settings } from '#config/schema.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { systemRandom } from '#shared/kernel/random.ts';
import { KeyHasher } from '#shared/tenants/key-hash.ts';
import { newVirtualKey, storedKey } from '#shared/tenants/virtual-keys.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { openSocket, refusalOf } from '../harness/socket-client.ts';
import { testKey, testSecretKey } from '../harness/test-settings.ts';

const secret = newVirtualKey(systemRandom);
const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
const stored = storedKey(secret, new KeyHasher([testSecretKey]));
let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());

/** Makes the key as it would stand in the settings, with a team beside it. */
function give(key: Partial<KeySettings>, more: Partial<Settings['customers'][string]> = {}): void {
  const { settings, live } = sluice;
  const made = keySchema.parse({ id: 'mine', ...stored, ...key });
  const { acme } = settings.customers;
  const customer = { ...acme!, ...more, keys: [...acme!.keys, made] };
  live.replace({ ...settings, customers: { ...settings.customers, acme: customer } });
}
const call = (path: string, body?: unknown) =>
  fetch(`${sluice.url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
const answer = async (response: Promise<Response>) => {
  const { status, ...rest } = await response.then(async (got) => ({
    status: got.status,
    ...((await got.json()) as { error?: { code?: string }; code?: string }),
  }));
  return [status, rest.error?.code ?? rest.code];
};
const chatAnswer = () => answer(call('/v1/chat/completions', chat()));
const claude = { model: 'claude-sonnet-5', max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] };
const listed = async () => {
  const { data } = (await (await call('/v1/models')).json()) as { data: { id: string }[] };
  return data.map(({ id }) => id);
};

beforeEach(() => give({}));

test('a key of which only the HMAC is kept works, and what is kept does not hold it', async () => {
  expect((await chatAnswer())[0]).toBe(200);
  expect(JSON.stringify(stored)).not.toContain(secret);
  expect(secret.startsWith(stored.prefix) && secret.endsWith(stored.last_four)).toBe(true);
  expect(stored.hash).not.toBe(storedKey(secret, new KeyHasher(['another secret of this length..'])).hash);
});

test('a secret that was replaced still finds the keys that were made with it', () => {
  const older = new KeyHasher(['the older secret of this length..']);
  const both = new KeyHasher([testSecretKey, 'the older secret of this length..']);
  expect([...both.candidates(secret)]).toContain(older.hash(secret));
});

test('the key may come in the header of Bifrost', async () => {
  const response = await fetch(`${sluice.url}/v1/models`, { headers: { 'x-bf-vk': secret } });
  expect(response.status).toBe(200);
});

describe('401', () => {
  test('a revoked and an expired key say so to whoever holds them, on the next call', async () => {
    give({ is_active: false });
    expect(await chatAnswer()).toEqual([401, 'key_revoked']);
    give({ expires_at: new Date(Date.parse('2020-01-01')).toISOString() });
    expect(await chatAnswer()).toEqual([401, 'key_expired']);
    give({ expires_at: '2999-01-01T00:00:00Z' });
    expect((await chatAnswer())[0]).toBe(200);
  });

  test('whoever does not hold it cannot tell a revoked key from none', async () => {
    give({ is_active: false });
    const guess = { authorization: `Bearer ${secret.slice(0, -1)}` };
    const none = { authorization: 'Bearer sk-sl-nobody' };
    const bodies = await Promise.all(
      [guess, none].map(async (each) => {
        const { error } = (await (await fetch(`${sluice.url}/v1/models`, { headers: each })).json()) as {
          error: { code: string; message: string };
        };
        return error;
      }),
    );
    expect(bodies[0]).toMatchObject({ code: 'invalid_key', message: bodies[1]!.message });
  });
});

describe('403', () => {
  test('a model that no pattern of the key names, in the shape of the route', async () => {
    give({ allowed_models: ['gpt-*', 'anthropic/claude-haiku*'] });
    expect((await chatAnswer())[0]).toBe(200);
    expect(await answer(call('/v1/messages', claude))).toEqual([403, 'model_blocked']);
    const problem = await call('/v1/jobs', { endpoint: '/v1/messages', body: claude });
    expect([problem.status, problem.headers.get('content-type')]).toEqual([
      403,
      'application/problem+json; charset=utf-8',
    ]);
    const openai = await call('/v1/embeddings', { model: 'text-embedding-3-small', input: 'x' });
    expect(await openai.json()).toMatchObject({
      error: { code: 'model_blocked', type: 'invalid_request_error', param: 'model' },
    });
  });

  test('a provider that the key, its team or its customer leaves out', async () => {
    const only = { allowed_providers: ['anthropic'] };
    give(only);
    expect(await chatAnswer()).toEqual([403, 'provider_blocked']);
    give({ team: 'red' }, { teams: { red: { ...only, limits: [], budgets: [] } } });
    expect(await chatAnswer()).toEqual([403, 'provider_blocked']);
    give({ allowed_providers: ['openai'] }, only);
    expect(await chatAnswer()).toEqual([403, 'provider_blocked']);
    give({ provider_configs: [{ provider: 'anthropic', weight: 1 }] });
    expect(await chatAnswer()).toEqual([403, 'provider_blocked']);
    give({ provider_configs: [{ provider: 'openai', weight: 1, allowed_models: ['gpt-4*'] }] });
    expect(await chatAnswer()).toEqual([403, 'model_blocked']);
  });

  test('an address that is not in the ranges of the key', async () => {
    give({ allowed_ips: ['10.0.0.0/8', '2001:db8::/32'] });
    expect(await chatAnswer()).toEqual([403, 'ip_blocked']);
    give({ allowed_ips: ['127.0.0.1'] });
    expect((await chatAnswer())[0]).toBe(200);
  });

  test('what X-Forwarded-For claims counts for nothing unless the proxy is known', async () => {
    give({ allowed_ips: ['10.0.0.0/8'] });
    const forged = { ...headers, 'x-forwarded-for': '10.1.2.3' };
    expect((await fetch(`${sluice.url}/v1/models`, { headers: forged })).status).toBe(403);
  });

  test('routes of which the key has no scope; reading models needs none', async () => {
    give({ scopes: ['files'] });
    expect(await chatAnswer()).toEqual([403, 'wrong_scope']);
    expect(await answer(call('/v1/jobs'))).toEqual([403, 'wrong_scope']);
    expect(await answer(call('/v1/batches'))).toEqual([403, 'wrong_scope']);
    expect(await answer(call('/v1/webhook-endpoints'))).toEqual([403, 'wrong_scope']);
    expect(await refusalOf(sluice.url, { headers: { authorization: `Bearer ${secret}` } })).toBe(403);
    expect((await call('/v1/files')).status).toBe(200);
    expect((await call('/v1/models')).status).toBe(200);
  });
});

test('GET /v1/models lists what the key may call, and nothing else', async () => {
  expect(await listed()).toEqual(['gpt-5-mini', 'text-embedding-3-small', 'claude-sonnet-5']);
  give({
    allowed_models: ['openai/*'],
    provider_configs: [{ provider: 'openai', weight: 1, allowed_models: ['gpt-*'] }],
  });
  expect(await listed()).toEqual(['gpt-5-mini']);
  expect((await call('/v1/models/claude-sonnet-5')).status).toBe(404);
});

describe('a socket', () => {
  const open = () => openSocket(sluice.url, { headers: { authorization: `Bearer ${secret}` } });
  test.each([
    ['whose key is revoked', { is_active: false }, 4401, 'the key was revoked'],
    ['whose key has expired', { expires_at: '2020-01-01T00:00:00Z' }, 4402, 'the key has expired'],
    [
      'whose key lost its scope',
      { scopes: ['files' as const] },
      4403,
      'the key may no longer open this socket',
    ],
    [
      'that comes from where it may not any more',
      { allowed_ips: ['10.0.0.1'] },
      4403,
      'the key may no longer open this socket',
    ],
  ])('%s is closed with a code that says so', async (_name, key, code, reason) => {
    const socket = await open();
    give(key);
    expect(await socket.closed).toEqual({ code, reason });
  });

  test('whose key is taken out of the settings is closed too', async () => {
    const socket = await open();
    sluice.live.replace(sluice.settings);
    expect(await socket.closed).toEqual({ code: 4401, reason: 'the key was revoked' });
  });

  test('is closed at the time its key expires', async () => {
    give({ expires_at: new Date(systemClock.nowMs() + 400).toISOString() });
    const socket = await open();
    expect(await socket.closed).toEqual({ code: 4402, reason: 'the key has expired' });
  });

  test('of another key stays open', async () => {
    const socket = await openSocket(sluice.url);
    give({ is_active: false });
    socket.say({ type: 'ping', ref: 'still' });
    await socket.hear(({ type }) => type === 'pong');
    socket.socket.terminate();
  });

  test('ticket of a key that was revoked since opens nothing', async () => {
    const { ticket } = (await (await call('/v1/ws/tickets', {})).json()) as { ticket: string };
    give({ is_active: false });
    expect(await refusalOf(sluice.url, { path: `/v1/ws?ticket=${ticket}`, headers: {} })).toBe(401);
  });
});

test('the key of the file is untouched by all this', async () => {
  give({ is_active: false });
  expect((await sluice.post('/v1/chat/completions', chat())).status).toBe(200);
  expect(testKey).not.toBe(secret);
});
