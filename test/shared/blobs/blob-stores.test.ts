import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from 's3rver';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BlobRef, type BlobStore, oneChunk, readWhole } from '#shared/blobs/blob-store.ts';
import { DiskBlobs } from '#shared/blobs/disk-blobs.ts';
import { openBlobs } from '#shared/blobs/open-blobs.ts';
import { seededRandom } from '#shared/kernel/random.ts';
import { testSettings } from '../../harness/test-settings.ts';

let folder: string;
let s3: S3rver;
const stores: Record<string, BlobStore> = {};
const sizeMax = 100_000_000;
const megabyte = 1_048_576;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-blobs-'));
  s3 = new S3rver({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory: join(folder, 's3'),
    configureBuckets: [{ name: 'blobs', configs: [] }],
  });
  const { port } = await s3.run();
  const credentials = { access_key_id: 'S3RVER', secret_access_key: 'S3RVER' };
  stores.disk = await openBlobs(testSettings('http://127.0.0.1', { blobs: { dir: join(folder, 'disk') } }));
  stores.s3 = await openBlobs(
    testSettings('http://127.0.0.1', {
      blobs: {
        store: 's3',
        s3: {
          bucket: 'blobs',
          endpoint: `http://127.0.0.1:${port}`,
          path_style: true,
          prefix: 'p/',
          ...credentials,
        },
      },
    }),
  );
});
afterAll(async () => {
  await s3.close();
  await rm(folder, { recursive: true, force: true });
});

const ref = (name: string, tenant = 'acme'): BlobRef => ({ tenant, kind: 'files', name });

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function namesIn(store: BlobStore, prefix = '', tenant = 'acme'): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list(tenant, 'files', prefix)) names.push(name);
  return names.toSorted();
}

async function* breaksOff(): AsyncGenerator<Buffer, void> {
  yield Buffer.alloc(3 * megabyte);
  throw new Error('the sender is gone');
}

describe.each(['disk', 's3'])('%s', (kind) => {
  const store = () => stores[kind]!;

  test('gives back what was put, however large, whole and in ranges', async () => {
    const seed = 42;
    const bytes = Buffer.from(seededRandom(seed).bytes(20 * megabyte + 17));
    for (const length of [0, 1, 65_537, 8 * megabyte, bytes.length]) {
      const part = bytes.subarray(0, length);
      expect(await store().put(ref(`of-${length}`), pieces(part, 100_003), sizeMax)).toBe(length);
      const read = await readWhole((await store().read(ref(`of-${length}`)))!);
      expect(read.equals(part), `${length} bytes, seed ${seed}`).toBe(true);
    }
    const range = await store().read(ref(`of-${bytes.length}`), { from: 9_000_000, to: 9_000_010 });
    expect(await readWhole(range!)).toEqual(bytes.subarray(9_000_000, 9_000_010));
    expect(await readWhole((await store().read(ref('of-1'), { from: 1, to: 1 }))!)).toHaveLength(0);
  });

  test('a blob that is larger than allowed is refused as soon as it is, and leaves nothing', async () => {
    let yielded = 0;
    const endless = async function* () {
      for (;;) {
        yielded++;
        yield Buffer.alloc(megabyte);
      }
    };
    await expect(store().put(ref('huge'), endless(), 20 * megabyte)).rejects.toMatchObject({
      code: 'file_too_large',
    });
    expect(yielded).toBe(21);
    expect(await store().read(ref('huge'))).toBeUndefined();
  });

  test('a sender that breaks off leaves nothing, and its own error is what is thrown', async () => {
    await expect(store().put(ref('broken'), breaksOff(), sizeMax)).rejects.toThrow('the sender is gone');
    expect(await store().read(ref('broken'))).toBeUndefined();
    expect(await namesIn(store(), 'broken')).toEqual([]);
  });

  test('lists by tenant, kind and prefix; removing twice is harmless', async () => {
    for (const name of ['a.1', 'a.2', 'b.1'])
      await store().put(ref(name, 'lister'), oneChunk(Buffer.from(name)), 10);
    await store().put(ref('a.3', 'neighbour'), oneChunk(Buffer.from('x')), 10);
    expect(await namesIn(store(), 'a.', 'lister')).toEqual(['a.1', 'a.2']);
    await store().remove(ref('a.1', 'lister'));
    await store().remove(ref('a.1', 'lister'));
    expect(await namesIn(store(), '', 'lister')).toEqual(['a.2', 'b.1']);
    expect(await namesIn(store(), '', 'stranger')).toEqual([]);
  });

  test.each(['../x', '..', 'a/b', '', '.hidden', 'a\0b', 'x'.repeat(201)])(
    'no blob can be named %j, nor a tenant',
    async (name) => {
      await expect(store().put(ref(name), oneChunk(Buffer.from('x')), 10)).rejects.toThrow('not a name');
      await expect(store().read(ref('x', name))).rejects.toThrow('not a name');
    },
  );
});

test('disk: an unfinished write is no blob, and is cleared when it is old', async () => {
  const root = join(folder, 'unfinished');
  const store = new DiskBlobs(root);
  const paused = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const slow = async function* () {
    yield Buffer.from('half');
    reached.resolve();
    await paused.promise;
  };
  const putting = store.put(ref('slow'), slow(), 10);
  await reached.promise;
  expect(await store.read(ref('slow'))).toBeUndefined();
  expect(await readdir(join(root, '.unfinished'))).toHaveLength(1);
  await store.clearUnfinished(0);
  expect(await readdir(join(root, '.unfinished'))).toHaveLength(1);
  await store.clearUnfinished(Number.MAX_SAFE_INTEGER);
  expect(await readdir(join(root, '.unfinished'))).toEqual([]);
  paused.resolve();
  await expect(putting).rejects.toMatchObject({ code: 'blobs_unavailable' });
});
