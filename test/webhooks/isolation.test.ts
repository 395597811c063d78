import { afterEach, expect, test } from 'vitest';
import { DeliveryStore } from '#shared/deliveries/delivery-store.ts';
import { keys } from '#shared/redis/keys.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { otherKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { WebhookReceiver } from '../harness/webhook-receiver.ts';
import { callChat, compressed, createEndpoint, endpointOf, untilDeliveries } from './support.ts';

let sluice: TestSluice | undefined;
const receivers: WebhookReceiver[] = [];
afterEach(async () => {
  await sluice?.stop();
  for (const receiver of receivers.splice(0)) await receiver.stop();
});

async function begin(webhooks: Record<string, unknown> = {}): Promise<TestSluice> {
  sluice = await startSluice({ withWebhooks: true, settings: { webhooks: { ...compressed, ...webhooks } } });
  return sluice;
}
async function newReceiver(): Promise<WebhookReceiver> {
  const receiver = await WebhookReceiver.start();
  receivers.push(receiver);
  return receiver;
}

test('a receiver that never answers takes no more places than its own, and delays no other', async () => {
  const started = await begin({ attempt_timeout_ms: 60_000, endpoint_concurrency: 2, concurrency: 4 });
  const [dead, living] = [await newReceiver(), await newReceiver()];
  dead.answer = () => undefined;
  await createEndpoint(started, dead.url);
  const endpoint = await createEndpoint(started, living.url);
  for (let index = 0; index < 30; index++) await callChat(started, chat(`${index}`, { outputTokens: 1 }));
  await untilDeliveries(started, endpoint.id, 'delivered', 30);
  expect(living.received).toHaveLength(30);
  expect(dead.received).toHaveLength(2);
  // Its connections are cut, so that the service need not wait for it.
  dead.answerWith(200);
  await dead.stop();
  receivers.splice(receivers.indexOf(dead), 1);
});

test('an outage of an hour, its schedule compressed: when the receiver is back, everything arrives', async () => {
  // One hour is one second: 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h …
  const hour = 1_000;
  const started = await begin({
    retry_schedule_ms: [0, 5 / 3_600, 1 / 12, 0.5, 2, 5, 10, 14].map((hours) => Math.ceil(hours * hour)),
  });
  const receiver = await newReceiver();
  const endpoint = await createEndpoint(started, receiver.url);
  receiver.answerWith(503);
  const jobs: string[] = [];
  for (let index = 0; index < 40; index++)
    jobs.push((await callChat(started, chat(`${index}`, { outputTokens: 1 }))).job);
  await until('the schedule is at its long pauses', () => receiver.received.length > 80);
  const beforeReturn = receiver.received.length;
  receiver.answerWith(200);
  await untilDeliveries(started, endpoint.id, 'delivered', 40);
  const arrived = receiver.received.slice(beforeReturn).map(({ id }) => id.replace('msg_', 'job_'));
  expect(new Set(arrived)).toEqual(new Set(jobs));
  expect(await endpointOf(started, endpoint.id)).toMatchObject({ failing_since: null, waiting: 0 });
});

test('an endpoint that has only failed for pause_after is paused, and what is meant for it waits', async () => {
  const started = await begin({ pause_after_seconds: 1 });
  const receiver = await newReceiver();
  const endpoint = await createEndpoint(started, receiver.url);
  receiver.answerWith(500);
  await callChat(started, chat());
  const paused = await until('it is paused', async () => {
    const now = await endpointOf(started, endpoint.id);
    return now.status === 'paused' ? now : undefined;
  });
  expect(paused).toMatchObject({ status_reason: 'failing', waiting: 1 });
  await untilDeliveries(started, endpoint.id, 'held', 1);
});

test('past the backlog of an endpoint deliveries are noted as dropped, and recover sends them', async () => {
  const started = await begin({ endpoint_backlog_max: 3 });
  const receiver = await newReceiver();
  const endpoint = await createEndpoint(started, receiver.url);
  const patch = (status: string) =>
    fetch(`${started.url}/v1/webhook-endpoints/${endpoint.id}`, {
      method: 'PATCH',
      headers: { authorization: 'Bearer sk-sl-test', 'content-type': 'application/json' },
      body: JSON.stringify({ status }),
    });
  await patch('paused');
  for (let index = 0; index < 5; index++) await callChat(started, chat(`${index}`));
  await until('all are noted', async () => (await endpointOf(started, endpoint.id)).waiting === 3);
  await patch('active');
  await until('three arrive', () => new Set(receiver.ids).size === 3);
  await until('there is room', async () => (await endpointOf(started, endpoint.id)).waiting === 0);
  await started.post(`/v1/webhook-endpoints/${endpoint.id}/recover`, { since: 1_700_000_000 });
  await untilDeliveries(started, endpoint.id, 'delivered', 5);
  expect(new Set(receiver.ids).size).toBe(5);
});

test('404: another tenant’s endpoint exists on no route, and hears of nothing', async () => {
  const started = await begin();
  const receiver = await newReceiver();
  const { id } = await createEndpoint(started, receiver.url);
  await callChat(started, chat(), { authorization: `Bearer ${otherKey}` });
  await callChat(started, chat());
  const [delivery] = await untilDeliveries(started, id, 'delivered', 1);
  expect(receiver.received).toHaveLength(1);
  const base = `/v1/webhook-endpoints/${id}`;
  const routes = [
    ['GET', base, undefined],
    ['PATCH', base, { status: 'paused' }],
    ['DELETE', base, undefined],
    ['POST', `${base}/rotate-secret`, undefined],
    ['POST', `${base}/test`, undefined],
    ['GET', `${base}/deliveries`, undefined],
    ['POST', `${base}/deliveries/${delivery!.id}/redeliver`, undefined],
    ['POST', `${base}/recover`, { since: 1_700_000_000 }],
  ] as const;
  for (const [method, path, body] of routes) {
    const response = await fetch(`${started.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${otherKey}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      body: body ? JSON.stringify(body) : null,
    });
    expect([method, path, response.status]).toEqual([method, path, 404]);
  }
  const named = await started.post('/v1/chat/completions', chat(), {
    authorization: `Bearer ${otherKey}`,
    'x-sluice-webhook': id,
  });
  expect(named.status).toBe(404);
  expect((await endpointOf(started, id)).status).toBe('active');
});

test('an outbox entry that is dispatched again and again leaves one delivery, and sends one message', async () => {
  const started = await begin();
  const receiver = await newReceiver();
  const endpoint = await createEndpoint(started, receiver.url);
  const { job } = await callChat(started, chat());
  const messageId = job.replace('job_', 'msg_');
  await untilDeliveries(started, endpoint.id, 'delivered', 1);
  const redis = started.redis.connect();
  const store = new DeliveryStore(redis, started.settings.webhooks);
  for (let round = 0; round < 3; round++) {
    await redis.zadd(keys.outbox('acme'), 0, messageId);
    await redis.publish(keys.outboxChannel(), 'acme');
    await until('it is looked at', async () => (await redis.zcard(keys.outbox('acme'))) === 0);
  }
  const again = { id: messageId, type: 'job.succeeded' as const, payload: '{}' };
  expect(await store.publish('acme', again)).toBe('known');
  await callChat(started, chat('last'));
  await untilDeliveries(started, endpoint.id, 'delivered', 2);
  expect(receiver.ids.filter((id) => id === messageId)).toHaveLength(1);
  redis.disconnect();
});
