import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { putDocument, removeDocument } from '#shared/overlay/overlay-scripts.ts';
import { OverlayStore } from '#shared/overlay/overlay-store.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import { RedisProcess } from '../../harness/redis-process.ts';

const { overlay: settings } = settingsSchema.parse({ providers: {}, customers: {} });
let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});
beforeEach(() => redis.flushall());

const newStore = (over: Partial<typeof settings> = {}) =>
  new OverlayStore({ redis, settings: { ...settings, ...over } });
type Change = Parameters<OverlayStore['put']>[0];
const put = (store: OverlayStore, change: Change, document: Record<string, unknown>) =>
  store.put(change, document, document);
const customer = (id: string, expectedVersion?: number) =>
  ({ kind: 'customers', id, who: 'root', expectedVersion }) as const;

test('documents are read as they were written, by whoever reads, and an unchanged state is the same one', async () => {
  const [writer, reader] = [newStore(), newStore()];
  expect(await reader.read()).toEqual({ version: 0, documents: [], unreadable: [] });
  expect(await put(writer, customer('acme'), { weight: 2 })).toBe(1);
  await put(writer, customer('rival'), { weight: 3 });
  const { version, documents } = await reader.read();
  expect(version).toBe(2);
  expect(documents).toEqual([
    { kind: 'customers', id: 'acme', version: 1, document: { weight: 2 } },
    { kind: 'customers', id: 'rival', version: 2, document: { weight: 3 } },
  ]);
  expect((await reader.read()).documents).toBe(documents);
  await put(writer, customer('acme'), { weight: 5 });
  await writer.remove(customer('rival'));
  expect((await reader.read()).documents).toEqual([
    { kind: 'customers', id: 'acme', version: 3, document: { weight: 5 } },
  ]);
});

test('whoever is further behind than removals are remembered reads everything anew', async () => {
  const [writer, reader] = [newStore(), newStore()];
  await put(writer, customer('kept'), {});
  for (const id of ['a', 'b']) await put(writer, customer(id), {});
  expect((await reader.read()).documents).toHaveLength(3);
  for (const id of ['a', 'b']) await writer.remove(customer(id));
  // As if these removals were among so many that they are forgotten.
  await redis.del(keys.overlayRemoved());
  await redis.hset(keys.overlayState(), 'floor', 5);
  expect((await reader.read()).documents.map(({ id }) => id)).toEqual(['kept']);
});

test('a change that expects another version is refused and changes nothing', async () => {
  const store = newStore();
  await put(store, customer('acme', 0), { weight: 1 });
  await expect(put(store, customer('acme', 0), { weight: 2 })).rejects.toMatchObject({
    code: 'document_conflict',
  });
  await expect(store.remove(customer('acme', 7))).rejects.toMatchObject({ code: 'document_conflict' });
  await expect(store.remove(customer('nobody'))).rejects.toMatchObject({ code: 'document_not_found' });
  expect(await put(store, customer('acme', 1), { weight: 2 })).toBe(2);
  expect((await store.read()).version).toBe(2);
});

test('no more documents than documents_max, none larger than document_max_bytes', async () => {
  const store = newStore({ documents_max: 1, document_max_bytes: 100 });
  await put(store, customer('acme'), {});
  await expect(put(store, customer('rival'), {})).rejects.toMatchObject({ code: 'overlay_full' });
  await put(store, customer('acme'), { weight: 2 });
  await expect(put(store, customer('acme'), { name: 'x'.repeat(100) })).rejects.toMatchObject({
    code: 'document_too_large',
  });
});

test('a change that is sent twice because its reply was lost is one change, in the audit too', async () => {
  const written = {
    documents: keys.overlayDocuments(),
    shown: keys.overlayShown(),
    changes: keys.overlayChanges(),
    removed: keys.overlayRemoved(),
    state: keys.overlayState(),
    audit: keys.audit(),
  };
  const common = { field: 'customers/acme', who: 'root', auditMax: 100, changeMs: 60_000, channel: 'news' };
  const change = () => ({ ...written, change: keys.overlayChange(randomUUID()) });
  const putting = {
    keys: change(),
    args: { ...common, document: '{}', shownNow: '{}', expected: 0, documentsMax: 10 },
  };
  const remove = { keys: change(), args: { ...common, expected: 1, removedMax: 10 } };
  expect(await runScript(redis, putDocument, putting)).toEqual(['put', 1]);
  expect(await runScript(redis, putDocument, putting)).toEqual(['put', 1]);
  expect(await runScript(redis, removeDocument, remove)).toEqual(['removed', 2]);
  expect(await runScript(redis, putDocument, putting)).toEqual(['put', 1]);
  expect(await runScript(redis, removeDocument, remove)).toEqual(['removed', 2]);
  expect(await redis.xlen(keys.audit())).toBe(2);
  expect((await newStore().read()).documents).toEqual([]);
});
