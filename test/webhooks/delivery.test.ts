import { createPublicKey, verify } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { type Received, WebhookReceiver } from '../harness/webhook-receiver.ts';
import {
  callChat,
  changeEndpoint,
  compressed,
  createEndpoint,
  deliveriesOf,
  type EndpointObject,
  endpointOf,
  type JobMessage,
  untilDeliveries,
} from './support.ts';

let sluice: TestSluice;
const receivers: WebhookReceiver[] = [];
const endpoints: string[] = [];
beforeAll(async () => {
  sluice = await startSluice({ withWebhooks: true, settings: { webhooks: compressed } });
});
afterEach(async () => {
  for (const id of endpoints.splice(0)) await remove(id);
  for (const receiver of receivers.splice(0)) await receiver.stop();
});
afterAll(() => sluice.stop());

const remove = (id: string) =>
  fetch(`${sluice.url}/v1/webhook-endpoints/${id}`, {
    method: 'DELETE',
    headers: { authorization: 'Bearer sk-sl-test' },
  });

async function newReceiver(): Promise<WebhookReceiver> {
  const receiver = await WebhookReceiver.start();
  receivers.push(receiver);
  return receiver;
}

async function subscribe(more: Record<string, unknown> = {}): Promise<[WebhookReceiver, EndpointObject]> {
  const receiver = await newReceiver();
  const endpoint = await createEndpoint(sluice, receiver.url, more);
  endpoints.push(endpoint.id);
  return [receiver, endpoint];
}

const message = ({ body }: Received) => JSON.parse(body) as JobMessage;
const headersOf = ({ headers }: Received) => headers as Record<string, string>;
const oneReceived = (receiver: WebhookReceiver) => until('a message comes', () => receiver.received[0]);

/** Verifies `v1a` by the letter of Standard Webhooks: ed25519 over `<id>.<timestamp>.<body>`. */
function verifiesAsymmetrically({ headers, body }: Received, publicKey: string): boolean {
  const x = Buffer.from(publicKey.replace('whpk_', ''), 'base64').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const content = Buffer.from(
    `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`,
  );
  return String(headers['webhook-signature'])
    .split(' ')
    .filter((each) => each.startsWith('v1a,'))
    .some((each) => verify(null, content, key, Buffer.from(each.slice(4), 'base64')));
}

test('the official verifier accepts a message, and the ed25519 signature verifies with the public key', async () => {
  const [receiver, endpoint] = await subscribe();
  expect(endpoint.secret).toMatch(/^whsec_/);
  expect(endpoint.public_key).toMatch(/^whpk_/);
  const { job, text } = await callChat(sluice, chat());
  const received = await oneReceived(receiver);
  new Webhook(endpoint.secret).verify(received.body, headersOf(received));
  expect(() => new Webhook(endpoint.secret).verify(`${received.body} `, headersOf(received))).toThrow();
  expect(verifiesAsymmetrically(received, endpoint.public_key)).toBe(true);
  expect(verifiesAsymmetrically({ ...received, body: '{}' }, endpoint.public_key)).toBe(false);
  expect(message(received)).toMatchObject({
    type: 'job.succeeded',
    data: { id: job, status: 'succeeded', result_inline: true, error: null },
  });
  expect(received.body, 'the bytes of the answer stand in the message as they are').toContain(
    `"result":${text}}}`,
  );
  expect(received.id).toBe(job.replace('job_', 'msg_'));
});

test('when a message comes, its outcome can be read already, with the same bytes', async () => {
  const [receiver] = await subscribe();
  let read: Promise<string> | undefined;
  receiver.answer = (received, response) => {
    read = sluice.get(`/v1/jobs/${message(received).data.id}/result`).then((answer) => answer.text());
    response.writeHead(200).end();
  };
  const { text } = await callChat(sluice, chat());
  await oneReceived(receiver);
  expect(await read).toBe(text);
});

test('an endpoint hears of the events it subscribed to, and of no other', async () => {
  const [failures] = await subscribe({ events: ['job.failed'] });
  const [cancellations] = await subscribe({ events: ['job.cancelled'] });
  const failed = await callChat(sluice, chat('fail', { status: 400 }));
  const later = await sluice.post('/v1/jobs', {
    endpoint: '/v1/chat/completions',
    body: chat('never', { hang: true }),
  });
  const hanging = ((await later.json()) as { id: string }).id;
  await sluice.post(`/v1/jobs/${hanging}/cancel`, '');
  const cancelled = await oneReceived(cancellations);
  expect(message(cancelled)).toMatchObject({
    type: 'job.cancelled',
    data: { id: hanging, status: 'cancelled' },
  });
  expect(message(await oneReceived(failures))).toMatchObject({
    type: 'job.failed',
    data: { id: failed.job },
  });
  expect(failures.received).toHaveLength(1);
  expect(cancellations.received).toHaveLength(1);
});

test('an answer above the bound is left out and read at its URL', async () => {
  const [receiver] = await subscribe();
  const { text } = await callChat(sluice, chat('long', { outputTokens: 8_000 }));
  expect(text.length).toBeGreaterThan(20_000);
  const { data } = message(await oneReceived(receiver));
  expect(data).toMatchObject({ result: null, result_inline: false });
  expect(await (await sluice.get(data.urls.result)).text()).toBe(text);
});

test('a job may name an endpoint that hears of nothing else', async () => {
  const [receiver, endpoint] = await subscribe({ events: [] });
  await callChat(sluice, chat('not told'));
  const { job } = await callChat(sluice, chat('told'), { 'x-sluice-webhook': endpoint.id });
  const received = await oneReceived(receiver);
  expect(message(received).data.id).toBe(job);
  expect(receiver.received).toHaveLength(1);
});

test('a job may name a URL; the tenant’s own keys sign for it', async () => {
  const receiver = await newReceiver();
  const rotated = await sluice.post('/v1/webhook-endpoints/default/rotate-secret', '');
  const { secret, public_key } = (await rotated.json()) as EndpointObject;
  const response = await sluice.post('/v1/jobs', {
    endpoint: '/v1/chat/completions',
    body: chat(),
    webhook: receiver.url,
  });
  const { id, webhook } = (await response.json()) as { id: string; webhook: string };
  expect(webhook).toBe(receiver.url);
  const received = await oneReceived(receiver);
  new Webhook(secret).verify(received.body, headersOf(received));
  expect(verifiesAsymmetrically(received, public_key)).toBe(true);
  expect(message(received).data.id).toBe(id);
});

test('what fails is tried again with the same id and a fresh timestamp, until the schedule is used up', async () => {
  const [receiver, endpoint] = await subscribe();
  receiver.answerWith(500);
  await callChat(sluice, chat());
  const [delivery] = await untilDeliveries(sluice, endpoint.id, 'failed', 1);
  expect(delivery!.attempts.map(({ status }) => status)).toEqual(Array(10).fill(500));
  expect(receiver.received).toHaveLength(10);
  expect(new Set(receiver.ids).size).toBe(1);
  const stamps = receiver.received.map(({ headers }) => Number(headers['webhook-timestamp']));
  expect(stamps.at(-1)).toBeGreaterThan(stamps[0]!);
  for (const received of receiver.received)
    new Webhook(endpoint.secret).verify(received.body, headersOf(received));
  expect(await endpointOf(sluice, endpoint.id)).toMatchObject({ waiting: 0, status: 'active' });
});

test.each([
  ['a redirect is no success, and is not followed', 302],
  ['other answers than 2xx are no success', 404],
])('%s', async (_name, status) => {
  const [receiver, endpoint] = await subscribe();
  const other = await newReceiver();
  let first = true;
  receiver.answer = (_received, response) => {
    response.writeHead(first ? status : 200, first ? { location: other.url } : {}).end();
    first = false;
  };
  await callChat(sluice, chat());
  await untilDeliveries(sluice, endpoint.id, 'delivered', 1);
  expect(receiver.received).toHaveLength(2);
  expect(other.received).toEqual([]);
});

test('410 disables the endpoint; what is meant for it waits until it is made active again', async () => {
  const [receiver, endpoint] = await subscribe();
  receiver.answerWith(410);
  await callChat(sluice, chat());
  await until('it is disabled', async () => (await endpointOf(sluice, endpoint.id)).status === 'disabled');
  expect(await endpointOf(sluice, endpoint.id)).toMatchObject({ status_reason: 'gone' });
  const { job } = await callChat(sluice, chat());
  await until('it waits', async () => (await deliveriesOf(sluice, endpoint.id))[0]?.status === 'held');
  receiver.answerWith(200);
  await changeEndpoint(sluice, endpoint.id, { status: 'active' });
  await until('it arrives', () => receiver.received.length === 2);
  expect(message(receiver.received[1]!).data.id).toBe(job);
});

test('a paused endpoint is sent nothing; resumed, it is sent everything', async () => {
  const [receiver, endpoint] = await subscribe();
  await changeEndpoint(sluice, endpoint.id, { status: 'paused' });
  const jobs = [];
  for (let index = 0; index < 5; index++) jobs.push((await callChat(sluice, chat(`${index}`))).job);
  await untilDeliveries(sluice, endpoint.id, 'held', 5);
  expect(receiver.received).toEqual([]);
  await changeEndpoint(sluice, endpoint.id, { status: 'active' });
  await untilDeliveries(sluice, endpoint.id, 'delivered', 5);
  expect(receiver.received.map((each) => message(each).data.id).toSorted()).toEqual(jobs.toSorted());
});

test('a rotated secret signs beside the one before it, until the overlap ends', async () => {
  const [receiver, endpoint] = await subscribe();
  const rotate = async (overlap_seconds: number) =>
    (await (
      await sluice.post(
        `/v1/webhook-endpoints/${endpoint.id}/rotate-secret?overlap_seconds=${overlap_seconds}`,
        '',
      )
    ).json()) as EndpointObject;
  const rotated = await rotate(60);
  expect(rotated.secret).not.toBe(endpoint.secret);
  await callChat(sluice, chat());
  const received = await oneReceived(receiver);
  for (const { secret, public_key } of [endpoint, rotated]) {
    new Webhook(secret).verify(received.body, headersOf(received));
    expect(verifiesAsymmetrically(received, public_key)).toBe(true);
  }
  const last = await rotate(0);
  await callChat(sluice, chat());
  const second = await until('the second comes', () => receiver.received[1]);
  new Webhook(last.secret).verify(second.body, headersOf(second));
  expect(() => new Webhook(rotated.secret).verify(second.body, headersOf(second))).toThrow();
});

test('a test message comes at once, and any delivery can be sent again', async () => {
  const [receiver, endpoint] = await subscribe();
  const test = await sluice.post(`/v1/webhook-endpoints/${endpoint.id}/test`, '');
  expect(test.status).toBe(202);
  const { message: id, delivery } = (await test.json()) as { message: string; delivery: string };
  const received = await oneReceived(receiver);
  new Webhook(endpoint.secret).verify(received.body, headersOf(received));
  expect(message(received).type).toBe('webhook.test');
  await untilDeliveries(sluice, endpoint.id, 'delivered', 1);
  const again = await sluice.post(
    `/v1/webhook-endpoints/${endpoint.id}/deliveries/${delivery}/redeliver`,
    '',
  );
  expect(again.status).toBe(202);
  await until('it comes again', () => receiver.received.length === 2);
  expect(receiver.ids).toEqual([id, id]);
});

test('recover sends what has not arrived since then, and nothing that has', async () => {
  const [receiver, endpoint] = await subscribe();
  const arrived = await callChat(sluice, chat());
  await untilDeliveries(sluice, endpoint.id, 'delivered', 1);
  receiver.answerWith(503);
  const lost = [await callChat(sluice, chat()), await callChat(sluice, chat())];
  await until('both are given up', async () => {
    const states = (await deliveriesOf(sluice, endpoint.id)).map(({ status }) => status);
    return states.filter((state) => state === 'failed').length === 2;
  });
  receiver.answerWith(200);
  receiver.received.length = 0;
  const recovered = await sluice.post(`/v1/webhook-endpoints/${endpoint.id}/recover`, {
    since: 1_700_000_000,
  });
  expect(await recovered.json()).toMatchObject({ requeued: 2, complete: true });
  await untilDeliveries(sluice, endpoint.id, 'delivered', 3);
  expect(receiver.received.map((each) => message(each).data.id).toSorted()).toEqual(
    lost.map(({ job }) => job).toSorted(),
  );
  expect(receiver.ids).not.toContain(arrived.job.replace('job_', 'msg_'));
});

test('Retry-After is honoured: nothing is sent to the receiver before it has passed', async () => {
  const [receiver, endpoint] = await subscribe();
  const at: number[] = [];
  receiver.answer = (_received, response) => {
    at.push(systemClock.monotonicMs());
    const limited = at.length === 1;
    response.writeHead(limited ? 429 : 200, limited ? { 'retry-after': '1' } : {}).end();
  };
  await callChat(sluice, chat());
  await until('the first came', () => at.length === 1);
  await callChat(sluice, chat());
  await untilDeliveries(sluice, endpoint.id, 'delivered', 2);
  expect(at).toHaveLength(3);
  expect(at[1]! - at[0]!).toBeGreaterThan(950);
});
