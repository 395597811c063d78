import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { openSocket } from '../harness/socket-client.ts';
import { deltaText, eventsOf, withoutIds } from '../harness/sse.ts';
import { until } from '../harness/until.ts';
import { WebhookReceiver } from '../harness/webhook-receiver.ts';
import { compressed, createEndpoint } from '../webhooks/support.ts';
import { arrivalsAt } from './support.ts';

let sluice: TestSluice;
let receiver: WebhookReceiver;
beforeAll(async () => {
  sluice = await startSluice({ withWebhooks: true, settings: { webhooks: compressed } });
  receiver = await WebhookReceiver.start();
  await createEndpoint(sluice, receiver.url);
});
afterAll(async () => {
  await sluice.stop();
  await receiver.stop();
});

const path = '/v1/chat/completions';
const exact = { 'x-sluice-cache': 'exact' };

async function stored(): Promise<number> {
  const { values } = await sluice.metrics.cacheStores.get();
  return values.reduce((sum, { value }) => sum + value, 0);
}

test.each([false, true])('a hit reads the same through all five doors (stream: %s)', async (stream) => {
  const client = await openSocket(sluice.url);
  client.say({ type: 'subscribe', all: true });
  await client.hear(({ type }) => type === 'subscribed');
  const body = { ...chat(`five doors “ü” 🜁 ${stream}`), stream };
  const before = await stored();
  const first = withoutIds(await (await sluice.post(path, body, exact)).text());
  await until('the answer is kept', async () => (await stored()) > before);
  sluice.simulator.log.clear();

  const hit = await sluice.post(path, body, exact);
  const job = hit.headers.get('x-sluice-job-id')!;
  expect(hit.headers.get('x-sluice-cache-status')).toBe('hit');
  expect(withoutIds(await hit.text()), 'awaited').toBe(first);
  expect(await (await sluice.get(`/v1/jobs/${job}/result`)).text(), 'poll').toBe(first);
  const events = await (await sluice.get(`/v1/jobs/${job}/events`)).text();
  expect(deltaText(eventsOf(events)), 'events').toBe(first);
  await client.hear((message) => message.job === job && message.event === 'completed');
  const ofSocket = client.messages.filter((message) => message.job === job && message.event === 'delta');
  expect(ofSocket.map((message) => message.data!.text).join(''), 'socket').toBe(first);
  client.socket.terminate();
  const told = await until('the message comes', () =>
    receiver.received.find((message) => message.body.includes(job)),
  );
  const { type, data } = JSON.parse(told.body) as {
    type: string;
    data: { result: unknown; cached: boolean; attempts: unknown[] };
  };
  expect([type, data.cached, data.attempts]).toEqual(['job.succeeded', true, []]);
  expect(stream ? data.result : JSON.stringify(data.result), 'webhook').toBe(first);
  expect(arrivalsAt(sluice.simulator)).toHaveLength(0);
});
