import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import { writeKeys } from '#shared/deliveries/signing-keys.ts';
import { OverlayEditor } from '#shared/overlay/overlay-editor.ts';
import { OverlayStore } from '#shared/overlay/overlay-store.ts';
import { keys } from '#shared/redis/keys.ts';
import { createSecretBox } from '#shared/secrets/secret-box.ts';
import { dumpRedis } from '../harness/dump-redis.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey, testSecretKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { WebhookReceiver } from '../harness/webhook-receiver.ts';
import { callChat, changeEndpoint, compressed, createEndpoint } from './support.ts';

const tenant = 'acme';
let sluice: TestSluice;
let redis: Redis;
let receiver: WebhookReceiver;
let endpoints: EndpointStore;
beforeAll(async () => {
  sluice = await startSluice({ withWebhooks: true, settings: { webhooks: compressed } });
  redis = sluice.redis.connect();
  receiver = await WebhookReceiver.start();
  const secrets = createSecretBox([testSecretKey]);
  endpoints = new EndpointStore({ redis, settings: sluice.settings.webhooks, secrets });
});
afterAll(async () => {
  redis.disconnect();
  await receiver.stop();
  await sluice.stop();
});

const stored = async (id: string) => (await redis.hget(keys.webhookEndpoint(tenant, id), 'keys'))!;
const secretsOf = async (id: string) =>
  endpoints.openKeys(tenant, id, await stored(id)).flatMap(({ secret, seed }) => [secret, seed]);

async function delivered(headers: Record<string, string> = {}): Promise<void> {
  const before = receiver.received.length;
  await callChat(sluice, chat(), headers);
  await until('a message comes', () => receiver.received.length > before);
}

const storedKey = 'sk-provider-key-that-is-stored';

/** A provider key that is put in while Sluice runs, and put right once. */
async function storeCredential(): Promise<void> {
  const store = new OverlayStore({ redis, settings: sluice.settings.overlay });
  const editor = new OverlayEditor(store, () => sluice.settings, createSecretBox([testSecretKey]));
  const change = { kind: 'credentials', id: 'openai/second', who: 'root' } as const;
  for (const weight of [1, 2]) await editor.put(change, { api_key: storedKey, weight });
}

/** Puts the keys of an endpoint back as an installation without encryption had them. */
async function makePlain(id: string): Promise<string> {
  const plain = writeKeys(endpoints.openKeys(tenant, id, await stored(id)));
  await redis.hset(keys.webhookEndpoint(tenant, id), 'keys', plain);
  return plain;
}

test('no secret stands in Redis or in the metrics in plain, after calls, rotations and deliveries', async () => {
  const { id, secret } = await createEndpoint(sluice, receiver.url, { events: ['job.succeeded'] });
  await delivered();
  await sluice.post(`/v1/webhook-endpoints/${id}/rotate-secret`, {});
  await delivered({ 'x-sluice-webhook': receiver.url });
  await storeCredential();
  const secrets = [...(await secretsOf(id)), ...(await secretsOf('default'))];
  expect(secrets).toContain(secret.replace('whsec_', ''));
  expect(secrets).toHaveLength(6);
  const found = await dumpRedis(redis);
  expect(found.size).toBeGreaterThan(8);
  expect(found.get(keys.overlayDocuments())).toContain('credentials/openai/second');
  found.set('metrics', await sluice.metrics.registry.metrics());
  const inHex = secrets.map((each) => Buffer.from(each, 'base64').toString('hex'));
  const credentials = Object.values(sluice.settings.providers).flatMap((provider) => provider.credentials);
  const others = [testKey, testSecretKey, storedKey, ...credentials.map(({ api_key }) => api_key)];
  for (const [key, text] of found)
    for (const each of [...secrets, ...inHex, ...others]) expect(key + text, key).not.toContain(each);
});

test('keys from before encryption sign as ever, and are encrypted when they are used or the endpoint changes', async () => {
  const { id } = await createEndpoint(sluice, receiver.url, { events: ['job.succeeded'] });
  const plain = await makePlain(id);
  await delivered();
  await until('they are encrypted', async () => (await stored(id)).startsWith('sealed1.'));
  expect(writeKeys(endpoints.openKeys(tenant, id, await stored(id)))).toBe(plain);
  await makePlain(id);
  await changeEndpoint(sluice, id, { status: 'paused' });
  expect(await stored(id)).toMatch(/^sealed1\./);
});

test('keys that were replaced meanwhile are not put back by encrypting the ones before', async () => {
  const { id } = await createEndpoint(sluice, receiver.url, { events: [] });
  const plain = await makePlain(id);
  await sluice.post(`/v1/webhook-endpoints/${id}/rotate-secret`, {});
  const rotated = await stored(id);
  await endpoints.reseal(tenant, id, plain);
  expect(await stored(id)).toBe(rotated);
});
