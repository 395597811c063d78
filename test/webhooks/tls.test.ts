import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Resolve } from '../../services/webhook/address-guard.ts';
import { ReceiverClient } from '../../services/webhook/receiver-client.ts';
import { trustedAuthorities } from '../../services/webhook/trusted-authorities.ts';
import { type Certificate, newAuthority } from '../harness/certificates.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { testSettings } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { WebhookReceiver } from '../harness/webhook-receiver.ts';
import { callChat, compressed, createEndpoint, deliveriesOf, untilDeliveries } from './support.ts';

const authority = newAuthority('a company’s own');
const stranger = newAuthority('nobody we know');
let sluice: TestSluice;
let folder: string;
let caFile: string;
const receivers: WebhookReceiver[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-tls-'));
  caFile = join(folder, 'authorities.pem');
  await writeFile(caFile, authority.cert);
  const webhooks = {
    ...compressed,
    attempt_timeout_ms: 15_000,
    retry_schedule_ms: [0, 20, 40],
    ca_file: caFile,
  };
  sluice = await startSluice({ withWebhooks: true, settings: { webhooks } });
});
afterEach(async () => {
  for (const receiver of receivers.splice(0)) await receiver.stop();
});
afterAll(async () => {
  await sluice.stop();
  await rm(folder, { recursive: true, force: true });
});

async function newReceiver(certificate: Certificate): Promise<WebhookReceiver> {
  const receiver = await WebhookReceiver.start(certificate);
  receivers.push(receiver);
  return receiver;
}

test('a message goes over TLS to a receiver whose certificate an authority of ca_file has issued', async () => {
  const receiver = await newReceiver(authority.issue('localhost'));
  const endpoint = await createEndpoint(sluice, receiver.url, { events: [] });
  const { text } = await callChat(sluice, chat(), { 'x-sluice-webhook': endpoint.id });
  const received = await until('a message comes', () => receiver.received[0]);
  new Webhook(endpoint.secret).verify(received.body, received.headers as Record<string, string>);
  expect(received.body).toContain(`"result":${text}}}`);
  const [delivery] = await untilDeliveries(sluice, endpoint.id, 'delivered', 1);
  expect(delivery!.attempts).toMatchObject([{ status: 204, error: null }]);
});

test.each<[string, Certificate]>([
  ['of another name', authority.issue('elsewhere.example')],
  ['of an authority that nobody trusts', stranger.issue('localhost')],
])('a certificate %s is refused: nothing is sent, and the delivery says why', async (_what, certificate) => {
  const receiver = await newReceiver(certificate);
  const endpoint = await createEndpoint(sluice, receiver.url, { events: [] });
  await callChat(sluice, chat(), { 'x-sluice-webhook': endpoint.id });
  await untilDeliveries(sluice, endpoint.id, 'failed', 1);
  const [delivery] = await deliveriesOf(sluice, endpoint.id);
  expect(delivery!.attempts).toHaveLength(3);
  for (const attempt of delivery!.attempts)
    expect(attempt).toMatchObject({ status: null, error: 'bad_certificate' });
  expect(receiver.connections).toBeGreaterThan(0);
  expect(receiver.received).toEqual([]);
});

test('a private address is refused before the handshake, however good its certificate is', async () => {
  const receiver = await newReceiver(authority.issue('hooks.example'));
  const { port } = new URL(receiver.url);
  const toLoopback: Resolve = (_hostname, done) => done(null, [{ address: '127.0.0.1', family: 4 }]);
  const webhooks = { allow_private: false, ports: [Number(port)] };
  const { webhooks: settings } = testSettings('http://127.0.0.1:1', { webhooks });
  const client = new ReceiverClient(settings, toLoopback, trustedAuthorities(caFile));
  const receipt = await client.send(`https://hooks.example:${port}/hook`, {}, '{}');
  await client.close();
  expect(receipt).toEqual({ status: null, error: 'refused_address' });
  expect(receiver.connections).toBe(0);
});

test('a ca_file that holds no certificate stops the start', async () => {
  const file = join(folder, 'none.pem');
  await writeFile(file, 'no certificate');
  expect(() => trustedAuthorities(file)).toThrow('webhooks.ca_file');
  expect(() => trustedAuthorities(join(folder, 'missing.pem'))).toThrow('webhooks.ca_file');
});
