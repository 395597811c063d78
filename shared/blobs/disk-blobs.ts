import { randomUUID } from 'node:crypto';
import { mkdir, open, opendir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  type BlobKind,
  type BlobRef,
  type BlobStore,
  type ByteRange,
  blobError,
  blobPath,
  bounded,
  type ListedBlob,
  noChunks,
} from './blob-store.ts';

const unfinished = '.unfinished';
const isMissing = (error: unknown) => (error as NodeJS.ErrnoException).code === 'ENOENT';

/**
 * Blobs as files: `<root>/<tenant>/<kind>/<name>`. A write goes to a file of its own in `.unfinished`, is flushed to the
 * disk, and takes its name in one step; the folder is flushed too, so that the name survives a power cut.
 */
export class DiskBlobs implements BlobStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async put(ref: BlobRef, chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<number> {
    const path = join(this.#root, blobPath(ref));
    const temporary = join(this.#root, unfinished, randomUUID());
    try {
      await mkdir(dirname(temporary), { recursive: true, mode: 0o700 });
      const bytes = await writeAndFlush(temporary, bounded(chunks, maxBytes));
      const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(temporary, path);
      await flushFolder(dirname(path));
      if (made !== undefined) await flushFolder(dirname(made));
      return bytes;
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw isSystemError(error) ? blobError(error) : error;
    }
  }

  async read(ref: BlobRef, range?: ByteRange): Promise<AsyncIterable<Uint8Array> | undefined> {
    const path = join(this.#root, blobPath(ref));
    try {
      const file = await open(path, 'r');
      if (range && range.to <= range.from) {
        await file.close();
        return noChunks();
      }
      return file.createReadStream(range && { start: range.from, end: range.to - 1 });
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw blobError(error);
    }
  }

  async remove(ref: BlobRef): Promise<void> {
    await rm(join(this.#root, blobPath(ref)), { force: true }).catch((error: unknown) => {
      throw blobError(error);
    });
  }

  async *list(tenant: string, kind: BlobKind, prefix: string): AsyncGenerator<ListedBlob, void> {
    const folder = dirname(join(this.#root, blobPath({ tenant, kind, name: 'any' })));
    for await (const { name, modifiedMs } of filesOf(folder)) {
      if (name.startsWith(prefix)) yield { name, modifiedMs };
    }
  }

  async clearUnfinished(beforeMs: number): Promise<void> {
    const folder = join(this.#root, unfinished);
    for await (const { name, modifiedMs } of filesOf(folder)) {
      if (modifiedMs < beforeMs) await rm(join(folder, name), { force: true });
    }
  }
}

/** Errors of the file system have a number; anything else came from the caller's chunks. */
const isSystemError = (error: unknown) => typeof (error as NodeJS.ErrnoException).errno === 'number';

async function writeAndFlush(path: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(chunks);
    await file.datasync();
    return (await file.stat()).size;
  } finally {
    await file.close();
  }
}

async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The files of a folder; none when there is no folder, and without those that vanish meanwhile. */
async function* filesOf(folder: string): AsyncGenerator<ListedBlob, void> {
  try {
    for await (const { name } of await opendir(folder)) {
      const found = await stat(join(folder, name)).catch(() => undefined);
      if (found?.isFile()) yield { name, modifiedMs: found.mtimeMs };
    }
  } catch (error) {
    if (!isMissing(error)) throw blobError(error);
  }
}
