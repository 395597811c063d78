import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { BatchStore } from '#shared/batches/batch-store.ts';
import { keys } from '#shared/redis/keys.ts';
import { chatLine, openaiAt, startBatch, untilEnded, uploadLines } from '../harness/batches.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { WebhookReceiver } from '../harness/webhook-receiver.ts';
import { compressed, createEndpoint } from './support.ts';

let sluice: TestSluice;
let receiver: WebhookReceiver;
beforeAll(async () => {
  const batches = { beat_ms: 100, look_ms: 50, append_ms: 100 };
  sluice = await startSluice({ withWebhooks: true, settings: { webhooks: compressed, batches } });
  receiver = await WebhookReceiver.start();
});
afterAll(async () => {
  await sluice.stop();
  await receiver.stop();
});
afterEach(() => {
  receiver.received.length = 0;
});

interface Message {
  type: string;
  data: { id: string; status: string; metadata: Record<string, string>; result?: unknown };
}
const messages = () => receiver.received.map(({ body }) => JSON.parse(body) as Message);

test('the end of a batch is told once, with the batch object; so is the end of each line', async () => {
  const openai = openaiAt(sluice.url);
  await createEndpoint(sluice, receiver.url, { events: ['job.succeeded', 'batch.completed'] });
  const lines = ['a', 'b', 'c'].map((id) => chatLine(id, chat(id, { outputTokens: 3 })));
  const { id } = await startBatch(openai, await uploadLines(openai, lines));
  const ended = await untilEnded(openai, id);
  await until('every message has come', () => receiver.received.length >= 4);
  const batch = messages().filter(({ type }) => type === 'batch.completed');
  expect(batch.map(({ data }) => data)).toEqual([{ ...ended, estimated_completion: ended.completed_at }]);
  const told = messages().filter(({ type }) => type === 'job.succeeded');
  expect(told.map(({ data }) => String(data.metadata.custom_id)).toSorted()).toEqual(['a', 'b', 'c']);
  expect(told.every(({ data }) => data.metadata.batch === id && data.result !== null)).toBe(true);

  // Whoever ends it again (a reply was lost, another process took it over) tells nobody anything.
  const redis = sluice.redis.connect();
  const again = { tenant: 'acme', id, token: 'x' };
  expect(await new BatchStore(redis).end(again, ended.input_file_id, 'completed', 60, [])).toBe('ended');
  expect(await redis.zcard(keys.outbox('acme'))).toBe(0);
  redis.disconnect();
}, 60_000);

test.each([
  ['batch.failed', 'failed', { model: 'unknown-model' }],
  ['batch.cancelled', 'cancelled', {}],
])(
  '%s',
  async (event, status, body) => {
    const openai = openaiAt(sluice.url);
    await createEndpoint(sluice, receiver.url, { events: [event] });
    const line = chatLine('a', { ...chat('slow', { delayMs: 1_000 }), ...body });
    const { id } = await startBatch(openai, await uploadLines(openai, [line]));
    if (status === 'cancelled') await openai.batches.cancel(id);
    await until('the message has come', () => receiver.received.length === 1);
    expect(messages()[0]).toMatchObject({ type: event, data: { id, status } });
  },
  60_000,
);
