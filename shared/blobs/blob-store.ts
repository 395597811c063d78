import { SluiceError } from '#shared/kernel/errors.ts';

/** Uploaded files, the pieces of what batches write, and bodies too large for a record. */
export const blobKinds = ['files', 'batches', 'payloads'] as const;
export type BlobKind = (typeof blobKinds)[number];

/** Where one blob lies. Tenants never share a folder. */
export interface BlobRef {
  tenant: string;
  kind: BlobKind;
  name: string;
}

export interface ListedBlob {
  name: string;
  modifiedMs: number;
}

/** A part of a blob: bytes `from` to before `to`. */
export interface ByteRange {
  from: number;
  to: number;
}

/**
 * Bytes by name. A blob is written once, whole, and never changed: it appears under its name when all of it is
 * durable, or not at all. Every method throws `blobs_unavailable` when the place where blobs lie cannot be used.
 */
export interface BlobStore {
  /**
   * Writes what `chunks` yields and returns its size; an error of `chunks` leaves nothing behind.
   *
   * @throws SluiceError file_too_large as soon as more than `maxBytes` have come
   */
  put(ref: BlobRef, chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<number>;
  /** The bytes of a blob, piece by piece; undefined when there is none. Reads no further than it is asked. */
  read(ref: BlobRef, range?: ByteRange): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Removes a blob; nothing happens when there is none. */
  remove(ref: BlobRef): Promise<void>;
  /** The blobs of one tenant and kind whose names begin with `prefix`, in any order. */
  list(tenant: string, kind: BlobKind, prefix: string): AsyncGenerator<ListedBlob, void>;
  /** Ends unfinished writes that began before then; nobody will finish them. */
  clearUnfinished(beforeMs: number): Promise<void>;
}

const safePart = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/**
 * The path of a blob below the root of its store. Names are made by Sluice and tenants by the operator; this is the
 * last line that keeps anything else from leaving its folder.
 */
export function blobPath({ tenant, kind, name }: BlobRef): string {
  if (!safePart.test(tenant) || !safePart.test(name)) throw new Error('not a name of a blob');
  return `${tenant}/${kind}/${name}`;
}

/** Passes chunks on until they are more than `maxBytes`. */
export async function* bounded(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Uint8Array, void> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new SluiceError('file_too_large', { fields: { limit: maxBytes } });
    yield chunk;
  }
}

const retryAfterMs = 5_000;

/** What a failure of the place where blobs lie means to a caller; an error of the catalogue stays what it is. */
export function blobError(cause: unknown): SluiceError {
  if (cause instanceof SluiceError) return cause;
  return new SluiceError('blobs_unavailable', { cause, retryAfterMs });
}

/** One piece, for what is in memory already. */
export async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes;
}

/** No bytes at all. */
export async function* noChunks(): AsyncGenerator<Uint8Array, void> {}

/** All bytes of a blob that is known to be small enough to hold. */
export async function readWhole(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const held: Uint8Array[] = [];
  for await (const chunk of chunks) held.push(chunk);
  return Buffer.concat(held);
}
