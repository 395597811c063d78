import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemRandom } from '#shared/kernel/random.ts';
import { OverlayEditor } from '#shared/overlay/overlay-editor.ts';
import { OverlayStore } from '#shared/overlay/overlay-store.ts';
import { createSecretBox } from '#shared/secrets/secret-box.ts';
import { KeyHasher } from '#shared/tenants/key-hash.ts';
import { newVirtualKey, storedKey } from '#shared/tenants/virtual-keys.ts';
import { FaultSystem, type IngressProcess } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { openSocket } from '../harness/socket-client.ts';
import { testSecretKey, testSettings } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem;
let ingresses: IngressProcess[];
let editor: OverlayEditor;
beforeAll(async () => {
  system = await FaultSystem.start();
  ingresses = await Promise.all([system.ingress(), system.ingress()]);
  const base = testSettings(system.simulator.url);
  const store = new OverlayStore({ redis: system.store, settings: base.overlay });
  editor = new OverlayEditor(store, () => base, createSecretBox([testSecretKey]));
});
afterAll(() => system.stop());

const who = 'root';
const urlOf = ({ port }: IngressProcess) => `http://127.0.0.1:${port}`;

async function giveKey(id: string, more: Record<string, unknown> = {}) {
  const secret = newVirtualKey(systemRandom);
  const document = { ...storedKey(secret, new KeyHasher([testSecretKey])), ...more };
  const change = { kind: 'virtual-keys', id: `acme/${id}`, who } as const;
  await editor.put(change, document);
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
  const statuses = () =>
    Promise.all(ingresses.map(async (each) => (await fetch(`${urlOf(each)}/v1/models`, { headers })).status));
  await until('every ingress knows the key', async () =>
    (await statuses()).every((status) => status === 200),
  );
  const submit = async () => {
    const body = JSON.stringify({ endpoint: '/v1/chat/completions', body: chat() });
    const response = await fetch(`${urlOf(ingresses[0]!)}/v1/jobs`, { method: 'POST', headers, body });
    return ((await response.json()) as { id: string }).id;
  };
  const revoke = () => editor.put(change, { ...document, is_active: false });
  return { headers, statuses, submit, revoke };
}

test('a key that is made while processes run works at every ingress, and none after it is revoked', async () => {
  const key = await giveKey('made');
  const sockets = await Promise.all(
    ingresses.map((each) => openSocket(urlOf(each), { headers: key.headers })),
  );
  const jobId = await key.submit();
  await key.revoke();
  await until(
    'it is refused everywhere',
    async () => (await key.statuses()).every((status) => status === 401),
    5_000,
  );
  const closed = await Promise.all(sockets.map((socket) => socket.closed));
  expect(closed).toEqual(sockets.map(() => ({ code: 4401, reason: 'the key was revoked' })));
  expect(await system.states([jobId])).toEqual(['queued']);
});

test('with on_revoke: cancel what waits ends as cancelled, an awaited call hears of it, and other keys go on', async () => {
  const [key, other] = await Promise.all([giveKey('cancels', { on_revoke: 'cancel' }), giveKey('other')]);
  const jobIds = await Promise.all([key.submit(), key.submit()]);
  const kept = await other.submit();
  const awaited = fetch(`${urlOf(ingresses[1]!)}/v1/chat/completions`, {
    method: 'POST',
    headers: key.headers,
    body: JSON.stringify(chat()),
  });
  await until('the awaited call is accepted', async () => (await system.jobIds()).length >= 4);
  await key.revoke();
  await until(
    'its calls are cancelled',
    async () => (await system.states(jobIds)).every((state) => state === 'cancelled'),
    5_000,
  );
  const answer = await awaited;
  expect([answer.status, await answer.json()]).toMatchObject([409, { error: { code: 'cancelled' } }]);
  expect(await system.states([kept])).toEqual(['queued']);
});
