import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let sluice: TestSluice;
beforeAll(async () => {
  // So long that an answer which waits for a reply of Redis is no longer "at once".
  sluice = await startSluice({ settings: { redis: { command_timeout_ms: 30_000 } } });
});
afterAll(() => sluice.stop());

const message = { model: 'claude-sonnet-5', max_tokens: 5, messages: [{ role: 'user', content: 'x' }] };
const job = { endpoint: '/v1/chat/completions', body: chat() };
const id = `job_${'0'.repeat(32)}`;
const asks: [name: string, ask: () => Promise<Response>][] = [
  ['chat', () => sluice.post('/v1/chat/completions', chat())],
  ['chat with a key', () => sluice.post('/v1/chat/completions', chat(), { 'idempotency-key': 'k' })],
  ['chat, async', () => sluice.post('/v1/chat/completions', chat(), { prefer: 'respond-async' })],
  ['embeddings', () => sluice.post('/v1/embeddings', { model: 'text-embedding-3-small', input: 'x' })],
  ['messages', () => sluice.post('/v1/messages', message)],
  ['submit', () => sluice.post('/v1/jobs', job)],
  ['list', () => sluice.get('/v1/jobs')],
  ['get', () => sluice.get(`/v1/jobs/${id}`)],
  ['result', () => sluice.get(`/v1/jobs/${id}/result`)],
  ['result, waiting', () => sluice.get(`/v1/jobs/${id}/result`, { prefer: 'wait=20' })],
  ['cancel', () => sluice.post(`/v1/jobs/${id}/cancel`, '')],
  ['readyz', () => sluice.get('/readyz')],
];

test('with Redis gone every route that needs it answers 503 at once and says when to come back; it recovers by itself', async () => {
  expect((await sluice.post('/v1/chat/completions', chat())).status).toBe(200);
  await sluice.redis.kill();
  const tookMs: Record<string, number> = {};
  for (const [name, ask] of asks) {
    const startedMs = systemClock.monotonicMs();
    const response = await ask();
    tookMs[name] = Math.round((systemClock.monotonicMs() - startedMs) * 10) / 10;
    expect(response.status, name).toBe(503);
    expect(await response.text(), name).toContain('store_unavailable');
    expect(response.headers.get('retry-after'), name).toBe('1');
    expect(response.headers.get('retry-after-ms'), name).toBe('1000');
    expect(tookMs[name], name).toBeLessThan(10_000);
  }
  console.log(`503 without Redis, milliseconds: ${JSON.stringify(tookMs)}`);
  expect((await sluice.get('/healthz')).status).toBe(200);
  expect((await sluice.get('/v1/models')).status).toBe(200);
  const array = await sluice.post('/v1/jobs', [job, job]);
  expect(await array.json()).toMatchObject({ data: [{ status: 503 }, { status: 503 }] });

  await sluice.redis.start();
  await until('ready again', async () => (await sluice.get('/readyz')).status === 200);
  expect((await sluice.post('/v1/chat/completions', chat('back'))).status).toBe(200);
});

test('a frozen Redis is 503 too, after the command timeout', async () => {
  const frozen = await startSluice({ settings: { redis: { command_timeout_ms: 3_000 } } });
  try {
    frozen.redis.signal('SIGSTOP');
    const response = await frozen.post('/v1/chat/completions', chat());
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    expect((await frozen.get('/readyz')).status).toBe(503);
    frozen.redis.signal('SIGCONT');
    await until('ready again', async () => (await frozen.get('/readyz')).status === 200);
  } finally {
    frozen.redis.signal('SIGCONT');
    await frozen.stop();
  }
});
