import { randomUUID } from 'node:crypto';
import type { BatchKey, BatchStore, Piece } from '#shared/batches/batch-store.ts';
import type { PieceStream } from '#shared/batches/file-store.ts';
import type { BlobStore, ByteRange } from '#shared/blobs/blob-store.ts';
import { SluiceError } from '#shared/kernel/errors.ts';

export interface PieceParts {
  batches: BatchStore;
  blobs: BlobStore;
}

/** A name of its own for each piece; the batch stands first, so that a sweep finds its owner. */
export const nameOfPiece = (batchId: string, stream: PieceStream) => `${batchId}.${stream}.${randomUUID()}`;

const blobOf = (tenant: string, { name }: Piece) => ({ tenant, kind: 'batches', name }) as const;
/** A piece that vanished was merged into a larger one; more often than this in a row it is lost. */
const rereadsMax = 5;

/**
 * The bytes of what a batch has written, from any place on. Pieces may be merged while somebody reads: their bytes and
 * order stay the same, so reading goes on at the same place of the new list.
 */
export async function* readPieces(
  { batches, blobs }: PieceParts,
  tenant: string,
  batchId: string,
  stream: PieceStream,
  range: ByteRange,
): AsyncGenerator<Uint8Array, void> {
  let at = range.from;
  for (let rereads = 0; at < range.to; rereads++) {
    if (rereads > rereadsMax) throw new SluiceError('blobs_unavailable');
    let start = 0;
    for (const piece of await batches.pieces(tenant, batchId, stream)) {
      const end = start + piece.bytes;
      if (end > at && start < range.to) {
        const part = { from: at - start, to: Math.min(end, range.to) - start };
        const chunks = await blobs.read(blobOf(tenant, piece), part);
        if (!chunks) break;
        for await (const chunk of chunks) {
          at += chunk.length;
          yield chunk;
        }
        rereads = 0;
      }
      start = end;
    }
  }
}

/** Small pieces that are worth one large one. */
const mergedTogether = 32;

/** Puts one piece in the place of many small ones at the end, so that a slow batch does not leave thousands. */
export async function mergePieces(
  { batches, blobs }: PieceParts,
  key: BatchKey,
  stream: PieceStream,
  smallBytes: number,
): Promise<void> {
  const { tenant, id } = key;
  const pieces = await batches.pieces(tenant, id, stream);
  const large = pieces.findLastIndex(({ bytes }) => bytes >= smallBytes);
  const small = pieces.slice(large + 1);
  if (small.length < mergedTogether) return;
  const all = async function* () {
    for (const piece of small) {
      const chunks = await blobs.read(blobOf(tenant, piece));
      if (!chunks) throw new SluiceError('blobs_unavailable');
      yield* chunks;
    }
  };
  const merged = { name: nameOfPiece(id, stream), bytes: small.reduce((sum, { bytes }) => sum + bytes, 0) };
  await blobs.put(blobOf(tenant, merged), all(), Number.MAX_SAFE_INTEGER);
  const answer = await batches.merge(key, stream, small, merged);
  const left = answer === 'merged' ? small : [merged];
  for (const piece of left) await blobs.remove(blobOf(tenant, piece));
}

/** Removes what a batch has written. */
export async function removePieces(
  { batches, blobs }: PieceParts,
  tenant: string,
  batchId: string,
  stream: PieceStream,
): Promise<void> {
  for (const piece of await batches.pieces(tenant, batchId, stream))
    await blobs.remove(blobOf(tenant, piece));
  await batches.dropPieces(tenant, batchId, stream);
}

/** Whether a blob is part of what its batch has written. */
export async function isPiece({ batches }: PieceParts, tenant: string, name: string): Promise<boolean> {
  const [batchId, stream] = name.split('.');
  const pieces = await batches.pieces(tenant, batchId!, stream === 'output' ? 'output' : 'errors');
  return pieces.some((piece) => piece.name === name);
}
