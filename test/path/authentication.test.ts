import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { otherKey, testKey } from '../harness/test-settings.ts';
import { submit } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({ withoutWorker: true });
});
afterAll(() => sluice.stop());

const get = (path: string, headers: Record<string, string>) => fetch(`${sluice.url}${path}`, { headers });

test('200: a key in any of the headers that SDKs use', async () => {
  const ways: Record<string, string>[] = [
    { authorization: `Bearer ${testKey}` },
    { authorization: `bearer  ${testKey} ` },
    { 'x-api-key': testKey },
    { 'api-key': testKey },
    { 'x-goog-api-key': testKey },
  ];
  for (const headers of ways)
    expect((await get('/v1/models', headers)).status, JSON.stringify(headers)).toBe(200);
});

test('401: no key, in the shape of each route', async () => {
  const openai = { error: { code: 'missing_key', type: 'invalid_request_error' } };
  expect(await (await get('/v1/models', {})).json()).toMatchObject(openai);
  expect(await (await fetch(`${sluice.url}/v1/chat/completions`, { method: 'POST' })).json()).toMatchObject(
    openai,
  );
  const message = await fetch(`${sluice.url}/v1/messages`, { method: 'POST' });
  expect(await message.json()).toMatchObject({
    type: 'error',
    error: { type: 'authentication_error', code: 'missing_key' },
  });
  expect(await (await get('/v1/models', { 'anthropic-version': '2023-06-01' })).json()).toMatchObject({
    type: 'error',
    error: { code: 'missing_key' },
  });
  const job = await get('/v1/jobs', {});
  expect([job.status, job.headers.get('content-type')]).toEqual([
    401,
    'application/problem+json; charset=utf-8',
  ]);
  expect(await job.json()).toMatchObject({
    status: 401,
    code: 'missing_key',
    type: 'urn:sluice:error:missing_key',
  });
});

test('401: a key that is not known, however it looks', async () => {
  const ways: Record<string, string>[] = [
    { authorization: 'Bearer sk-wrong' },
    { authorization: `Basic ${testKey}` },
    { authorization: testKey },
    { authorization: 'Bearer' },
    { authorization: '' },
    { authorization: `Bearer ${testKey}x` },
    { authorization: `Bearer ${testKey.slice(0, -1)}` },
    { authorization: `Bearer ${testKey} ${testKey}` },
    { 'x-api-key': '' },
    { 'x-api-key': testKey.toUpperCase() },
    { authorization: 'Bearer __proto__' },
  ];
  for (const headers of ways) {
    const response = await get('/v1/models', headers);
    expect([response.status, await response.json()], JSON.stringify(headers)).toMatchObject([
      401,
      { error: { code: 'invalid_key' } },
    ]);
    expect(response.headers.get('x-should-retry')).toBe('false');
  }
});

test('the Authorization header decides when several are sent', async () => {
  const id = await submit(sluice, chat());
  expect(
    (await get(`/v1/jobs/${id}`, { authorization: `Bearer ${testKey}`, 'x-api-key': otherKey })).status,
  ).toBe(200);
  expect(
    (await get(`/v1/jobs/${id}`, { authorization: `Bearer ${otherKey}`, 'x-api-key': testKey })).status,
  ).toBe(404);
});

test('a wrong key never comes back in the answer', async () => {
  const response = await get('/v1/models', { authorization: 'Bearer sk-leaky-secret' });
  expect(await response.text()).not.toContain('leaky');
});

test('404: nothing administrative is on the public port', async () => {
  for (const path of [
    '/metrics',
    '/admin',
    '/admin/stream',
    '/customers',
    '/virtual-keys',
    '/v1/customers',
    '/queues',
    '/.env',
    '/config',
    '/_sim/health',
    '/debug',
  ]) {
    expect((await get(path, { authorization: `Bearer ${testKey}` })).status, path).toBe(404);
  }
});
