import type { FileRecord } from '#shared/batches/file-store.ts';
import { type PieceParts, readPieces, removePieces } from './pieces.ts';

const blobOf = ({ tenant, id }: FileRecord) => ({ tenant, kind: 'files', name: id }) as const;

/** The bytes of a file, uploaded or written by a batch; undefined when they are gone. */
export async function readFile(
  parts: PieceParts,
  file: FileRecord,
  fromByte = 0,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const { tenant, bytes, writtenBy } = file;
  const range = { from: fromByte, to: bytes };
  if (!writtenBy) return parts.blobs.read(blobOf(file), range);
  return readPieces(parts, tenant, writtenBy.batchId, writtenBy.stream, range);
}

/** Removes the bytes of a file whose record is gone. */
export async function removeBytes(parts: PieceParts, file: FileRecord): Promise<void> {
  const { tenant, writtenBy } = file;
  if (writtenBy) await removePieces(parts, tenant, writtenBy.batchId, writtenBy.stream);
  else await parts.blobs.remove(blobOf(file));
}
