import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { callsOf, jobOf, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());

const path = '/v1/chat/completions';
const slow = chat('slow', { delayMs: 1_500 });

test('202: respond-async answers at once with the job', async () => {
  const response = await sluice.post(path, chat('async', { delayMs: 500 }), { prefer: 'respond-async' });
  const job = (await response.json()) as { id: string; urls: Record<string, string> };
  expect(response.status).toBe(202);
  expect(response.headers.get('preference-applied')).toBe('respond-async');
  expect(response.headers.get('location')).toBe(`/v1/jobs/${job.id}`);
  expect(job).toMatchObject({
    object: 'job',
    endpoint: path,
    model: 'gpt-5-mini',
    provider: 'openai',
    error: null,
    usage: null,
  });
  expect(job.urls.result).toBe(`${sluice.url}/v1/jobs/${job.id}/result`);
  expect(await untilStatus(sluice, job.id, 'succeeded')).toMatchObject({
    usage: { input_tokens: expect.any(Number) },
  });
});

test('202: wait=1 hands a slow call over, and its result comes through /result', async () => {
  const response = await sluice.post(path, slow, { prefer: 'wait=1' });
  const { id, status } = (await response.json()) as { id: string; status: string };
  expect([response.status, status]).toEqual([202, 'running']);
  expect(response.headers.get('preference-applied')).toBe('wait=1');
  expect(response.headers.get('location')).toBe(`/v1/jobs/${id}`);

  const result = await sluice.get(`/v1/jobs/${id}/result`, { prefer: 'wait=20' });
  expect([result.status, result.headers.get('preference-applied')]).toEqual([200, 'wait=20']);
  expect(await result.json()).toMatchObject({ object: 'chat.completion' });
  expect(callsOf(sluice, id)).toHaveLength(1);
});

test('200: wait=20 gives the answer itself when it is there in time', async () => {
  const response = await sluice.post(path, chat('quick'), { prefer: 'wait=20' });
  expect([response.status, response.headers.get('preference-applied')]).toEqual([200, 'wait=20']);
  expect(await response.json()).toMatchObject({ object: 'chat.completion' });
});

test('202: wait=0 means now, and unknown preferences are ignored', async () => {
  const now = await sluice.post(path, chat('now', { delayMs: 300 }), {
    prefer: 'handling=lenient, waiting=x; wait=0',
  });
  expect([now.status, now.headers.get('preference-applied')]).toEqual([202, 'wait=0']);
});

test('202: /result answers with the job while it runs', async () => {
  const { id } = (await (await sluice.post(path, slow, { prefer: 'respond-async' })).json()) as {
    id: string;
  };
  const result = await sluice.get(`/v1/jobs/${id}/result`);
  expect([result.status, ((await result.json()) as { id: string }).id]).toEqual([202, id]);
  expect((await sluice.get(`/v1/jobs/${id}`, { prefer: 'wait=20' })).headers.get('preference-applied')).toBe(
    'wait=20',
  );
  expect((await jobOf(sluice, id)).status).toBe('succeeded');
});

describe('with a bound of one second', () => {
  let bounded: TestSluice;
  beforeAll(async () => {
    bounded = await startSluice({ settings: { jobs: { await_max_seconds: 1 } } });
  });
  afterAll(() => bounded.stop());

  test('504: a call past the bound is told where its job is, not to send it again, and the job finishes', async () => {
    const response = await bounded.post(path, slow);
    const id = response.headers.get('x-sluice-job-id')!;
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { code: 'await_timeout', type: 'server_error' } });
    expect(response.headers.get('location')).toBe(`/v1/jobs/${id}`);
    expect(response.headers.get('x-should-retry')).toBe('false');
    await untilStatus(bounded, id, 'succeeded');
    expect(callsOf(bounded, id)).toMatchObject([{ aborted: false, status: 200 }]);
  });

  test('202: a longer wait than the bound is cut to it', async () => {
    const response = await bounded.post(path, slow, { prefer: 'wait=60' });
    expect([response.status, response.headers.get('preference-applied')]).toEqual([202, 'wait=1']);
  });
});

test('whoever polls a job with wait=N leaves its waiters, when the time is over and when it hangs up', async () => {
  const response = await sluice.post('/v1/jobs', { endpoint: path, body: chat('long', { hang: true }) });
  const { id } = (await response.json()) as { id: string };
  const store = sluice.redis.connect();
  const waiters = () => store.hget(keys.job('acme', id), 'waiters');
  const poll = sluice.get(`/v1/jobs/${id}`, { prefer: 'wait=1' });
  await until('it is a waiter', async () => (await waiters()) !== '');
  expect((await poll).status).toBe(200);
  await until('it has left', async () => (await waiters()) === '');
  const hangUp = new AbortController();
  const gone = fetch(`${sluice.url}/v1/jobs/${id}`, {
    signal: hangUp.signal,
    headers: { authorization: `Bearer ${testKey}`, prefer: 'wait=60' },
  }).catch(() => undefined);
  await until('it is a waiter', async () => (await waiters()) !== '');
  hangUp.abort();
  await gone;
  await until('it has left', async () => (await waiters()) === '');
  await sluice.post(`/v1/jobs/${id}/cancel`, '');
  store.disconnect();
});
