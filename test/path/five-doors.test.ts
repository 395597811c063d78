import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { openSocket } from '../harness/socket-client.ts';
import { deltaText, eventsOf, withoutIds } from '../harness/sse.ts';
import { until } from '../harness/until.ts';
import { WebhookReceiver } from '../harness/webhook-receiver.ts';
import { compressed, createEndpoint } from '../webhooks/support.ts';

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

interface Call {
  fault?: Record<string, unknown>;
  stream?: boolean;
}

test.each<[string, Call]>([
  ['a plain call', {}],
  ['a streamed call', { stream: true }],
  ['a failed call', { fault: { status: 400 } }],
])('%s reads the same, byte for byte, through all five doors', async (name, { fault, ...more }) => {
  const client = await openSocket(sluice.url);
  client.say({ type: 'subscribe', all: true });
  await client.hear(({ type }) => type === 'subscribed');
  const body = { ...chat(`${name} “ü” 🜁`, { outputTokens: 40, perTokenMs: 3, ...fault }), ...more };
  const awaited = await sluice.post('/v1/chat/completions', body);
  const job = awaited.headers.get('x-sluice-job-id')!;
  const answer = withoutIds(await awaited.text());
  expect(answer.length).toBeGreaterThan(50);

  const events = sluice.get(`/v1/jobs/${job}/events`).then((response) => response.text());
  const result = sluice.get(`/v1/jobs/${job}/result`).then((response) => response.text());
  await client.hear(
    (message) => message.job === job && ['completed', 'failed'].includes(message.event ?? ''),
  );
  const told = await until('the message comes', () =>
    receiver.received.find(({ body }) => body.includes(job)),
  );
  const { data } = JSON.parse(told.body) as { data: { result: unknown } };
  const ofSocket = client.messages
    .filter((message) => message.job === job && message.event === 'delta')
    .map((message) => message.data!.text)
    .join('');
  client.socket.terminate();

  expect(deltaText(eventsOf(await events)), 'events').toBe(answer);
  expect(ofSocket, 'socket').toBe(answer);
  expect(await result, 'poll').toBe(answer);
  const isText = typeof data.result === 'string';
  expect(isText).toBe('stream' in more);
  if (isText) expect(data.result, 'webhook').toBe(answer);
  else expect(told.body.endsWith(`"result":${answer}}}`), 'webhook').toBe(true);
});
