import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { openaiAt, resultsOf, startBatch, untilEnded, uploadLines } from '../harness/batches.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { deltaText, eventsOf, readSse, withoutIds } from '../harness/sse.ts';
import { otherKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { WebhookReceiver } from '../harness/webhook-receiver.ts';
import { compressed, createEndpoint } from '../webhooks/support.ts';
import { callsOf, jobOf, submit, untilStatus } from './support.ts';

let sluice: TestSluice;
let store: Redis;
let blobs: string;
beforeAll(async () => {
  sluice = await startSluice({
    withWebhooks: true,
    settings: {
      payloads: { inline_max_bytes: 1_024, store_wait_ms: 300 },
      files: { sweep_ms: 100, orphan_seconds: 1 },
      // Every answer is read from the store.
      replies: { inline_max_bytes: 0 },
      webhooks: compressed,
      customers: { rival: { retention_seconds: 120 } },
    },
  });
  store = sluice.redis.connect();
  blobs = join(sluice.settings.redis.data_dir, 'blobs');
});
afterAll(async () => {
  store.disconnect();
  await sluice.stop();
});

const words = 'many words '.repeat(400);
const fault = { outputTokens: 600 };
const large = chat(words, fault);
const kept = () => readdir(join(blobs, 'acme', 'payloads')).catch(() => []);
const keptOf = async (jobId: string, kind: 'request' | 'result') =>
  (await kept()).filter((name) => name.startsWith(`${jobId}.${kind}.`));
const resultOf = async (jobId: string) => (await sluice.get(`/v1/jobs/${jobId}/result`)).text();
const field = (jobId: string, name: string) => store.hget(keys.job('acme', jobId), name);

/** A folder that cannot be used: a file stands in its place. */
async function takeBlobsAway(): Promise<() => Promise<void>> {
  await rename(blobs, `${blobs}-away`);
  await writeFile(blobs, '');
  return async () => {
    await rm(blobs);
    await rename(`${blobs}-away`, blobs);
  };
}

test('a large call and its answer lie in the blob store, and the answer reads the same through every door', async () => {
  const receiver = await WebhookReceiver.start();
  await createEndpoint(sluice, receiver.url);
  const response = await sluice.post('/v1/chat/completions', large);
  const jobId = response.headers.get('x-sluice-job-id')!;
  const awaited = await response.text();
  expect(response.status).toBe(200);
  expect(awaited.length).toBeGreaterThan(1_024);
  expect(await field(jobId, 'body')).toBe('');
  expect(await keptOf(jobId, 'result')).toHaveLength(1);
  expect(await resultOf(jobId)).toBe(awaited);
  expect((await sluice.get(`/v1/jobs/${jobId}/result`, { prefer: 'wait=5' })).status).toBe(200);
  const events = readSse(await sluice.get(`/v1/jobs/${jobId}/events`));
  expect(deltaText(eventsOf(await events.rest()))).toBe(awaited);
  const received = await until('the webhook', () => receiver.received[0]);
  expect(received.body).toContain(awaited);
  expect(JSON.stringify(await jobOf(sluice, jobId))).not.toContain('.result.');
  await receiver.stop();
});

test('what a large call sends is what its provider gets, and its stored body ends with it', async () => {
  const jobId = await submit(sluice, chat(words, { ...fault, delayMs: 300 }));
  await until('the call is stored apart', async () => (await keptOf(jobId, 'request')).length === 1);
  expect(await field(jobId, 'request')).toBe('');
  await untilStatus(sluice, jobId, 'succeeded');
  expect(callsOf(sluice, jobId)).toHaveLength(1);
  await until('its body is gone', async () => (await keptOf(jobId, 'request')).length === 0);
});

test('a small call writes nothing to the blob store', async () => {
  const jobId = await submit(sluice, chat('small', { outputTokens: 3 }));
  await untilStatus(sluice, jobId, 'succeeded');
  expect(await field(jobId, 'requestBlob')).toBeNull();
  expect((await kept()).filter((name) => name.startsWith(jobId))).toEqual([]);
  expect((await field(jobId, 'body'))!.length).toBeGreaterThan(0);
});

test('a large streamed answer can be read from the start when it has ended', async () => {
  const reader = readSse(await sluice.post('/v1/chat/completions', { ...large, stream: true }));
  const streamed = await reader.rest();
  const jobId = reader.response.headers.get('x-sluice-job-id')!;
  await untilStatus(sluice, jobId, 'succeeded');
  expect(await keptOf(jobId, 'result')).toHaveLength(1);
  expect(await resultOf(jobId)).toBe(withoutIds(streamed));
});

test('a batch with large lines has large answers in its output', async () => {
  const openai = openaiAt(sluice.url);
  const ids = ['a', 'b', 'c'];
  const lines = ids.map((id) => ({
    custom_id: id,
    method: 'POST',
    url: '/v1/chat/completions',
    body: chat(`${id} ${words}`, fault),
  }));
  const batch = await untilEnded(
    openai,
    (await startBatch(openai, await uploadLines(openai, lines))).id,
    20_000,
  );
  const { output } = await resultsOf(openai, batch, ids);
  expect(output.map(({ response }) => response!.body.usage.completion_tokens)).toEqual([600, 600, 600]);
});

test('with the blob store away a large call is refused with 503 and leaves nothing; a small one is served', async () => {
  const before = await store.zcard(keys.jobs('acme'));
  const giveBack = await takeBlobsAway();
  try {
    const refused = await sluice.post('/v1/chat/completions', large);
    expect(refused.status).toBe(503);
    expect(await refused.text()).toContain('blobs_unavailable');
    expect(refused.headers.get('retry-after')).toBe('5');
    expect(await store.zcard(keys.jobs('acme'))).toBe(before);
    expect((await sluice.post('/v1/chat/completions', chat('small', { outputTokens: 3 }))).status).toBe(200);
  } finally {
    await giveBack();
  }
});

test('a finished answer is kept although the blob store is away: it lies in its record then', async () => {
  const jobId = await submit(sluice, chat('small request', { outputTokens: 600, delayMs: 300 }));
  await until('the provider is called', () => callsOf(sluice, jobId)[0]);
  const giveBack = await takeBlobsAway();
  try {
    await untilStatus(sluice, jobId, 'succeeded');
    expect((await field(jobId, 'body'))!.length).toBeGreaterThan(1_024);
    expect(await resultOf(jobId)).toBe(await field(jobId, 'body'));
  } finally {
    await giveBack();
  }
});

test('an answer that cannot be read for now is 503, and there again later; one that is gone says so', async () => {
  const response = await sluice.post('/v1/chat/completions', large);
  const jobId = response.headers.get('x-sluice-job-id')!;
  const answer = await response.text();
  const giveBack = await takeBlobsAway();
  const away = await sluice.get(`/v1/jobs/${jobId}/result`);
  await giveBack();
  expect(away.status).toBe(503);
  expect(await resultOf(jobId)).toBe(answer);
  for (const name of await keptOf(jobId, 'result')) await rm(join(blobs, 'acme', 'payloads', name));
  const gone = await sluice.get(`/v1/jobs/${jobId}/result`);
  expect(gone.status).toBe(500);
  expect(await gone.text()).toContain('body_gone');
});

test('a refused call leaves no body behind, and a body that no record names is swept', async () => {
  const headers = { 'idempotency-key': 'large-once' };
  const first = await sluice.post('/v1/chat/completions', large, headers);
  const again = await sluice.post('/v1/chat/completions', large, headers);
  expect(await again.text()).toBe(await first.text());
  expect((await sluice.post('/v1/chat/completions', chat(`${words}!`, fault), headers)).status).toBe(422);
  const orphan = `job_${'a'.repeat(32)}.request.00000000-0000-4000-8000-000000000000`;
  await writeFile(join(blobs, 'acme', 'payloads', orphan), 'left by a crash');
  await until('only answers that records name are left', async () => {
    const names = await kept();
    return names.length > 0 && names.every((name) => name.includes('.result.'));
  });
});

test('a large answer ends with its record', async () => {
  const response = await sluice.post('/v1/chat/completions', large);
  const jobId = response.headers.get('x-sluice-job-id')!;
  const [name] = await keptOf(jobId, 'result');
  expect(Number(await store.zscore(keys.bodyExpiry('acme'), name!))).toBeGreaterThan(0);
  await store.del(keys.job('acme', jobId));
  await until('it is swept', async () => (await keptOf(jobId, 'result')).length === 0);
  await store.zadd(keys.bodyExpiry('acme'), 0, name!);
  await until('it is forgotten', async () => (await store.zscore(keys.bodyExpiry('acme'), name!)) === null);
});

test('results, and the large answers among them, are kept as long as their tenant says', async () => {
  const headers = { authorization: `Bearer ${otherKey}` };
  const jobIds: string[] = [];
  for (const body of [large, chat('small', { outputTokens: 3 })]) {
    const response = await sluice.post('/v1/chat/completions', body, headers);
    expect(response.status).toBe(200);
    jobIds.push(response.headers.get('x-sluice-job-id')!);
  }
  for (const jobId of jobIds) {
    const lifeMs = await store.pttl(keys.job('rival', jobId));
    expect(lifeMs).toBeGreaterThan(60_000);
    expect(lifeMs).toBeLessThanOrEqual(120_000);
  }
  const [, endsAtMs] = await store.zrange(keys.bodyExpiry('rival'), 0, '-1', 'WITHSCORES');
  const [seconds] = await store.time();
  expect(Number(endsAtMs) / 1_000 - Number(seconds)).toBeLessThanOrEqual(121);
});
