import type { Redis } from 'ioredis';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { AuditLog } from '#shared/overlay/audit-log.ts';
import { OverlayMerger } from '#shared/overlay/merge-overlay.ts';
import { OverlayEditor } from '#shared/overlay/overlay-editor.ts';
import { OverlayStore } from '#shared/overlay/overlay-store.ts';
import { keys } from '#shared/redis/keys.ts';
import { createSecretBox } from '#shared/secrets/secret-box.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { testSettings } from '../../harness/test-settings.ts';

const base = testSettings('http://127.0.0.1:1');
const secrets = createSecretBox(['0123456789abcdef0123456789abcdef']);
const who = 'root';
let redis: Redis;
let store: OverlayStore;
let editor: OverlayEditor;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  store = new OverlayStore({ redis, settings: base.overlay });
  editor = new OverlayEditor(store, () => base, secrets);
  return () => server.stop();
});
beforeEach(() => redis.flushall());

test('what would not be valid, or would make something else invalid, is refused and stored nowhere', async () => {
  const team = { kind: 'teams', id: 'acme/red', who } as const;
  const key = { kind: 'virtual-keys', id: 'acme/ci', who } as const;
  const hash = '0f'.repeat(32);
  await expect(editor.put(key, { hash, team: 'red' })).rejects.toMatchObject({
    code: 'document_invalid',
    message: 'The object virtual-keys/acme/ci is not valid: there is no team red.',
  });
  await editor.put(team, {});
  await editor.put(key, { hash, team: 'red' });
  await expect(editor.remove(team)).rejects.toMatchObject({
    code: 'document_in_use',
    message: 'The object teams/acme/red is needed by virtual-keys/acme/ci (there is no team red).',
  });
  expect((await store.read()).documents.map(({ id }) => id)).toEqual(['acme/red', 'acme/ci']);
  await editor.remove(key);
  await editor.remove(team);
  expect((await store.read()).documents).toEqual([]);
});

test('a key with the hash of another one is refused, of whichever customer; written by two at once, the first holds', async () => {
  const hash = '0e'.repeat(32);
  const first = { kind: 'virtual-keys', id: 'rival/first', who } as const;
  const twin = { kind: 'virtual-keys', id: 'acme/twin', who } as const;
  await editor.put(first, { hash });
  await expect(editor.put(twin, { hash })).rejects.toMatchObject({
    code: 'document_invalid',
    message:
      'The object virtual-keys/acme/twin is not valid: hash: the virtual key rival/first has the same one.',
  });
  await store.put(twin, { hash }, {});
  const { settings, refused } = new OverlayMerger(secrets).merge(base, (await store.read()).documents);
  expect(refused.map(({ id }) => id)).toEqual(['acme/twin']);
  expect(settings.customers.acme!.keys.map(({ id }) => id)).toEqual(['test']);
  expect(settings.customers.rival!.keys.map(({ id }) => id)).toEqual(['test', 'first']);
});

const credential = { kind: 'credentials', id: 'openai/second', who } as const;

test('the secrets of a credential are sealed for the host of its provider, and are not sent to another one', async () => {
  const document = { api_key: 'sk-very-secret', weight: 3 };
  await editor.put(credential, document);
  expect(await redis.hget(keys.overlayDocuments(), 'credentials/openai/second')).not.toContain('very-secret');
  const { documents } = await store.read();
  const merger = new OverlayMerger(secrets);
  expect(merger.merge(base, documents).settings.providers.openai!.credentials).toMatchObject([
    { id: 'main' },
    { id: 'second', ...document },
  ]);
  const elsewhere = { kind: 'providers', id: 'openai', who } as const;
  await expect(editor.put(elsewhere, { base_url: 'http://127.0.0.9:1/v1' })).rejects.toMatchObject({
    code: 'document_in_use',
    message: expect.stringContaining('credentials/openai/second'),
  });
  await editor.remove(credential);
  await editor.put(elsewhere, { base_url: 'http://127.0.0.9:1/v1' });
  const moved = merger.merge(base, (await store.read()).documents);
  expect(moved.settings.providers.openai!.credentials).toEqual([]);
});

test('the audit says who changed what from what to what, newest first, and holds no secret', async () => {
  const audit = new AuditLog(redis, 1_000);
  await editor.put(credential, { api_key: 'sk-very-secret-0123456789', weight: 1 });
  await editor.put(credential, { api_key: 'sk-next-secret-9876543210', weight: 2 });
  await audit.note({ who: 'ops', action: 'pause', subject: 'pools/openai/chat', after: { seconds: 5 } });
  await editor.remove(credential);
  const rows = await audit.list({ limit: 10 });
  const subject = 'credentials/openai/second';
  expect(rows.map(({ who, action, subject, version }) => ({ who, action, subject, version }))).toEqual([
    { who: 'root', action: 'remove', subject, version: 3 },
    { who: 'ops', action: 'pause', subject: 'pools/openai/chat', version: undefined },
    { who: 'root', action: 'change', subject, version: 2 },
    { who: 'root', action: 'create', subject, version: 1 },
  ]);
  expect(rows[2]).toMatchObject({
    before: { api_key: '…6789', weight: 1 },
    after: { api_key: '…3210', weight: 2 },
  });
  expect(await audit.list({ limit: 1, before: rows[0]!.id })).toEqual([rows[1]]);
  expect(JSON.stringify(await redis.xrange(keys.audit(), '-', '+'))).not.toMatch(/secret/);
});
