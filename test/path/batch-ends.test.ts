import { afterEach, expect, test } from 'vitest';
import { BatchStore } from '#shared/batches/batch-store.ts';
import { FileStore } from '#shared/batches/file-store.ts';
import { openRedis } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { chatLine, linesOf, openaiAt, startBatch, untilEnded, uploadLines } from '../harness/batches.ts';
import { RedisProcess } from '../harness/redis-process.ts';
import { chat, type SluiceOptions, startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

let redis: RedisProcess;
const started: TestSluice[] = [];
afterEach(async () => {
  for (const sluice of started.splice(0)) await sluice.stop();
  await redis.stop();
});

const batches = { look_ms: 50, append_ms: 50, append_lines: 10, failures_max: 2, tenant_gone_ms: 200 };

async function start(settings: SluiceOptions['settings'] = {}): Promise<TestSluice> {
  const sluice = await startSluice({ redis, settings: { batches, ...settings } });
  started.push(sluice);
  return sluice;
}

const linesNamed = (count: number, delayMs: number) =>
  Array.from({ length: count }, (_each, index) =>
    chatLine(`line-${index}`, chat(`line ${index}`, { delayMs, outputTokens: 3 })),
  );

test('a batch whose driving fails every time is given up: it ends as failed, says so, and keeps what is paid for', async () => {
  redis = await RedisProcess.start();
  const sluice = await start({ batches: { ...batches, lines_open_per_batch_max: 20 } });
  const store = redis.connect();
  const openai = openaiAt(sluice.url);
  const { id } = await startBatch(openai, await uploadLines(openai, linesNamed(200, 100)));
  const completed = async () => Number(await store.hget(keys.batch('acme', id), 'completed'));
  await until('some lines are done', async () => (await completed()) >= 20);
  // What no retry mends: the place where done lines are marked is something else.
  await store.multi().del(keys.batchDone('acme', id)).lpush(keys.batchDone('acme', id), 'x').exec();
  const batch = await untilEnded(openai, id, 60_000);
  store.disconnect();
  expect(batch.status).toBe('failed');
  expect(batch.errors!.data).toMatchObject([{ code: 'batch_given_up' }]);
  const output = await linesOf(openai, batch.output_file_id);
  expect(output.length).toBeGreaterThanOrEqual(20);
  expect(output).toHaveLength(batch.request_counts!.completed);
}, 90_000);

test('a batch whose tenant left the configuration ends as failed; what was done is kept, what was not is named', async () => {
  redis = await RedisProcess.start();
  const key = 'sk-sl-leaving-tenant';
  const first = await start({
    customers: { leaving: { keys: [{ id: 'leaving', key }] } },
    batches: { ...batches, lines_open_per_batch_max: 10 },
  });
  const store = redis.connect();
  const openai = openaiAt(first.url, key);
  const { id } = await startBatch(openai, await uploadLines(openai, linesNamed(300, 50)));
  const record = keys.batch('leaving', id);
  await until('some lines are done', async () => Number(await store.hget(record, 'completed')) >= 10);
  await started.pop()!.stop();
  await start();
  await until('it has ended', async () => (await store.hget(record, 'status')) === 'failed', 60_000);
  const ended = await store.hgetall(record);
  store.disconnect();
  expect(JSON.parse(ended.errors!)).toMatchObject([{ code: 'tenant_removed' }]);
  expect(Number(ended.completed) + Number(ended.failed)).toBe(300);
  expect(Number(ended.completed)).toBeGreaterThanOrEqual(10);
  expect(Number(ended.unrun)).toBe(Number(ended.failed));
  expect(ended.outputFileId).toMatch(/^file_/);
  expect(ended.errorFileId).toMatch(/^file_/);
}, 90_000);

test('a batch whose lines were all run is completed, although it expired before its end was written', async () => {
  redis = await RedisProcess.start();
  const connection = openRedis(redis.url, (await start()).settings.redis, 'commands', 'test');
  await started.pop()!.stop();
  const files = new FileStore(connection);
  const store = new BatchStore(connection);
  const [tenant, id, fileId] = ['acme', `batch_${'b'.repeat(32)}`, `file_${'f'.repeat(32)}`];
  await files.keep({
    ...{ id: fileId, tenant, purpose: 'batch', filename: 'in.jsonl', bytes: 10 },
    ...{ writtenBy: undefined, expiresSeconds: 1_000, bytesMax: undefined },
  });
  await store.make({
    ...{ id, tenant, inputFileId: fileId, endpoint: '/v1/chat/completions', completionWindow: '24h' },
    ...{ windowMs: 60_000, metadata: null, axes: { key: 'test' }, outputSeconds: undefined, openMax: 10 },
  });
  const key = { tenant, id, token: 'one' };
  await store.claim(key, 60_000);
  await store.advance(key, 'validating', 'in_progress', ['total', 1]);
  await store.append(key, {
    ...{ id: 'append', lines: [0], output: undefined, errors: undefined, completed: 1, failed: 0, unrun: 0 },
    ...{ usage: { inputTokens: 0, cachedTokens: 0, outputTokens: 0, reasoningTokens: 0, nanoUsd: 0 } },
    ...{ cursor: { line: 1, offset: 10 }, linesPerSecond: 1 },
  });
  await store.advance(key, 'in_progress', 'finalizing');
  await connection.hset(keys.batch(tenant, id), 'expiresMs', '1000');
  await store.hold(key, 0);
  await store.lookIn(tenant, id, 0);
  connection.disconnect();
  const sluice = await start();
  const batch = await untilEnded(openaiAt(sluice.url, testKey), id, 20_000);
  expect(batch.status).toBe('completed');
}, 60_000);
