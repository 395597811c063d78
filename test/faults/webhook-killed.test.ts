import { afterEach, expect, test } from 'vitest';
import { FaultSystem, post, submit } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { WebhookReceiver } from '../harness/webhook-receiver.ts';
import { compressed } from '../webhooks/support.ts';

let system: FaultSystem | undefined;
let receiver: WebhookReceiver | undefined;
afterEach(async () => {
  await system?.stop();
  await receiver?.stop();
});

const count = 60;
const settings = {
  webhooks: { ...compressed, attempt_timeout_ms: 60_000, recheck_ms: 500, endpoint_concurrency: 10 },
  workers: { lock_ms: 5_000, stalled_check_ms: 500 },
};

async function begin() {
  system = await FaultSystem.start(settings);
  receiver = await WebhookReceiver.start();
  const [ingress] = await Promise.all([system.ingress(), system.worker()]);
  const created = await post(ingress, '/v1/webhook-endpoints', { url: receiver.url });
  expect(created.status).toBe(201);
  const bodies = Array.from({ length: count }, (_each, index) => chat(`job ${index}`, { outputTokens: 1 }));
  return { faults: system, receiving: receiver, jobs: () => submit(ingress, bodies) };
}

const messagesOf = (jobs: string[]) => jobs.map((job) => job.replace('job_', 'msg_')).toSorted();
/** Ids that the receiver has answered. */
function answering(receiving: WebhookReceiver): string[] {
  const answered: string[] = [];
  receiving.answer = ({ id }, response) => {
    answered.push(id);
    response.writeHead(200).end();
  };
  return answered;
}

test('kill -9 of the webhook service in the middle of deliveries: another one delivers every message', async () => {
  const { faults, receiving, jobs } = await begin();
  receiving.answer = () => undefined;
  const victim = await faults.webhook();
  const submitted = await jobs();
  await until('deliveries are under way', () => receiving.received.length === 10);
  await victim.end('SIGKILL');
  const answered = answering(receiving);
  await faults.webhook();
  await until('every message has arrived', () => new Set(answered).size === count, 60_000);
  expect([...new Set(answered)].toSorted()).toEqual(messagesOf(submitted));
});

test('kill -9 of Redis in the middle of deliveries: every message arrives', async () => {
  const { faults, receiving, jobs } = await begin();
  receiving.answer = () => undefined;
  await faults.webhook();
  const submitted = await jobs();
  await faults.ended(submitted);
  await until('deliveries are under way', () => receiving.received.length === 10);
  await faults.redis.kill();
  const answered = answering(receiving);
  await faults.redis.start();
  receiving.cut();
  await until('every message has arrived', () => new Set(answered).size === count, 60_000);
  expect([...new Set(answered)].toSorted()).toEqual(messagesOf(submitted));
});

test('no webhook service while jobs end: their messages are delivered when one starts', async () => {
  const { faults, receiving, jobs } = await begin();
  const submitted = await jobs();
  await faults.ended(submitted);
  expect(receiving.received).toEqual([]);
  await faults.webhook();
  await until('every message has arrived', () => receiving.received.length === count);
  expect(receiving.ids.toSorted()).toEqual(messagesOf(submitted));
});

test('kill -9 of the webhook service: another one on the machine sends at once what it had in hand', async () => {
  system = await FaultSystem.start({ webhooks: settings.webhooks });
  receiver = await WebhookReceiver.start();
  const [ingress] = await Promise.all([system.ingress(), system.worker()]);
  await post(ingress, '/v1/webhook-endpoints', { url: receiver.url });
  receiver.answer = () => undefined;
  const victim = await system.webhook();
  const [job] = await submit(ingress, [chat('one', { outputTokens: 1 })]);
  const receiving = receiver;
  await until('its delivery is under way', () => receiving.received.length === 1);
  await victim.end('SIGKILL');
  const answered = answering(receiving);
  await system.webhook();
  // BullMQ's lock lasts 30 s here.
  await until('it has arrived', () => answered.length === 1, 25_000);
  expect(answered).toEqual(messagesOf([job!]));
});

test('SIGHUP and a changed configuration end nothing: what needs a restart is said', async () => {
  system = await FaultSystem.start({ webhooks: compressed, reload: { poll_ms: 100, settle_ms: 20 } });
  const webhook = await system.webhook();
  webhook.child.kill('SIGHUP');
  await until('it has read again', () => webhook.output.includes('configuration read again'));
  await system.config.replace({
    webhooks: { ...compressed, concurrency: 7 },
    reload: { poll_ms: 100, settle_ms: 20 },
  });
  await until('it says so', () => webhook.output.includes('"webhooks.concurrency"'));
  expect(webhook.child.exitCode).toBeNull();
});
