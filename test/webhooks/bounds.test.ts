import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { DeliveryStore } from '#shared/deliveries/delivery-store.ts';
import { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import { deliveryIdOf } from '#shared/deliveries/webhook-ids.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { newId } from '#shared/kernel/ids.ts';
import { keys } from '#shared/redis/keys.ts';
import { createSecretBox } from '#shared/secrets/secret-box.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { testSecretKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { WebhookReceiver } from '../harness/webhook-receiver.ts';
import { callChat, changeEndpoint, compressed, createEndpoint, deliveriesOf } from './support.ts';

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

async function begin(webhooks: Record<string, unknown>, withWebhooks = true): Promise<TestSluice> {
  const sluice = await startSluice({ withWebhooks, settings: { webhooks: { ...compressed, ...webhooks } } });
  stops.push(() => sluice.stop());
  return sluice;
}

/** A receiver below HTTP: `speak` is called for each connection with the first bytes of its request. */
async function rawReceiver(speak: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.once('data', () => speak(socket));
    socket.resume();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  stops.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as { port: number };
  return { url: `http://127.0.0.1:${port}/hook`, sockets };
}

/** Writes `piece` for as long as somebody reads; how many bytes that were. */
function pourInto(socket: Socket, piece: Buffer, everyMs: number): void {
  const write = () => {
    while (!socket.destroyed && socket.write(piece) && everyMs === 0);
    if (!socket.destroyed && everyMs > 0) systemClock.after(everyMs, write);
  };
  if (everyMs === 0) socket.on('drain', write);
  write();
}

const head = (length: number) => `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`;

test('an answer of 1 GB is cut at response_max_bytes; its status counts', async () => {
  const sluice = await begin({ response_max_bytes: 65_536 });
  let written = 0;
  const receiver = await rawReceiver((socket) => {
    socket.on('close', () => {
      written = socket.bytesWritten;
    });
    socket.write(head(1_073_741_824));
    pourInto(socket, Buffer.alloc(65_536), 0);
  });
  const endpoint = await createEndpoint(sluice, receiver.url);
  await callChat(sluice, chat());
  await until('it counts', async () => (await deliveriesOf(sluice, endpoint.id))[0]?.status === 'delivered');
  await until('the connection is cut', () => receiver.sockets.size === 0);
  // What the kernels hold between the two is on top.
  expect(written).toBeLessThan(32 * 1_048_576);
}, 60_000);

test.each([
  ['its body', true, 'delivered', null],
  ['its headers', false, 'failed', 'timeout'],
])(
  'an answer that drips %s for ever is cut at attempt_timeout_ms',
  async (_what, whole, status, error) => {
    const sluice = await begin({ attempt_timeout_ms: 300, retry_schedule_ms: [0] });
    const receiver = await rawReceiver((socket) => {
      socket.write(whole ? head(1_000_000) : 'HTTP/1.1 200 OK\r\n');
      pourInto(socket, Buffer.from(whole ? 'x' : 'x: y\r\n'), 20);
    });
    const endpoint = await createEndpoint(sluice, receiver.url);
    await callChat(sluice, chat());
    const [delivery] = await until('it has ended', async () => {
      const all = await deliveriesOf(sluice, endpoint.id);
      return all[0]?.status === status ? all : undefined;
    });
    expect(delivery!.attempts.map((each) => each.error)).toEqual([error]);
    await until('the connection is cut', () => receiver.sockets.size === 0);
  },
  60_000,
);

test('a full backlog is recovered and resumed in steps, and all of it arrives', async () => {
  const count = 600;
  // On a slow machine an attempt that is given up early would be a second message.
  const webhooks = {
    endpoint_rate_per_second: 1_000,
    endpoint_concurrency: 20,
    attempt_timeout_ms: 20_000,
  };
  const sluice = await begin(webhooks, false);
  const receiver = await WebhookReceiver.start();
  stops.push(() => receiver.stop());
  const endpoint = await createEndpoint(sluice, receiver.url);
  await changeEndpoint(sluice, endpoint.id, { status: 'paused' });
  const redis = sluice.redis.connect();
  stops.push(async () => redis.disconnect());
  const { webhooks: settings } = sluice.settings;
  const narrow = new DeliveryStore(redis, { ...settings, endpoint_backlog_max: 1 });
  const ids = Array.from({ length: count }, () => newId('msg'));
  for (const id of ids) {
    await narrow.publish('acme', { id, type: 'webhook.test', payload: '{}', target: endpoint.id });
    const about = { type: 'webhook.test', createdMs: systemClock.nowMs() };
    await narrow.add('acme', deliveryIdOf(id, endpoint.id), about);
  }
  const recovered = await sluice.post(`/v1/webhook-endpoints/${endpoint.id}/recover`, {
    since: 1_700_000_000,
  });
  expect(await recovered.json()).toMatchObject({ requeued: count, complete: true });

  const endpoints = new EndpointStore({ redis, settings, secrets: createSecretBox([testSecretKey]) });
  const waiting = () => redis.zcard(keys.webhookWaiting('acme', endpoint.id));
  expect(await waiting()).toBe(count);
  // What resumes the endpoint does one step, and leaves the rest to whoever looks into the outbox.
  await endpoints.change('acme', endpoint.id, { status: 'active' });
  expect(await waiting()).toBe(count - 200);
  expect(await redis.zscore(keys.outbox('acme'), endpoint.id)).not.toBeNull();
  const second = await startSluice({
    ...{ redis: sluice.redis, simulator: sluice.simulator, withoutWorker: true, withWebhooks: true },
    settings: { webhooks: { ...compressed, ...webhooks } },
  });
  stops.push(() => second.stop());
  await until('all have arrived', () => new Set(receiver.ids).size === count, 30_000);
  await until('nothing is left to do', async () => (await redis.zcard(keys.outbox('acme'))) === 0);
  expect(receiver.ids.toSorted()).toEqual(ids.toSorted());
}, 60_000);
