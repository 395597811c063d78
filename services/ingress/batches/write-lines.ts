import { randomUUID } from 'node:crypto';
import type { BatchUsage } from '#shared/batches/batch-record.ts';
import type { BatchStore, Piece } from '#shared/batches/batch-store.ts';
import type { PieceStream } from '#shared/batches/file-store.ts';
import type { BlobStore } from '#shared/blobs/blob-store.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import type { BatchLease } from './batch-lease.ts';
import { isUnrun, type LineResult, noUsage, renderLine, streamOf } from './line-result.ts';
import type { OpenLine } from './open-lines.ts';
import { nameOfPiece } from './pieces.ts';

export interface WriteLinesParts {
  batches: BatchStore;
  blobs: BlobStore;
  jobs: JobStore;
}

/** Where the batch stands once the lines are written. */
export interface Progress {
  cursor: { line: number; offset: number };
  linesPerSecond: number;
}

/** Another process has the batch, or has written one of the lines. */
export class BatchLost extends Error {}

function sum(left: BatchUsage, right: BatchUsage): BatchUsage {
  return {
    inputTokens: left.inputTokens + right.inputTokens,
    cachedTokens: left.cachedTokens + right.cachedTokens,
    outputTokens: left.outputTokens + right.outputTokens,
    reasoningTokens: left.reasoningTokens + right.reasoningTokens,
    nanoUsd: left.nanoUsd + right.nanoUsd,
  };
}

/**
 * Writes finished lines: their bytes as pieces in the blob store first, then the one script that takes them into the
 * batch. What an earlier try left in the blob store belongs to nobody and is swept.
 *
 * @throws BatchLost, or SluiceError when a store is away; then the same lines may be written again
 */
export async function writeLines(
  parts: WriteLinesParts,
  lease: BatchLease,
  lines: readonly OpenLine[],
  progress: Progress,
): Promise<Record<PieceStream, Piece | undefined>> {
  const output = await writePiece(parts, lease, lines, 'output');
  const errors = await writePiece(parts, lease, lines, 'errors');
  const append = {
    id: randomUUID(),
    lines: lines.map(({ number }) => number),
    output: output.piece,
    errors: errors.piece,
    completed: output.lines,
    failed: errors.lines,
    unrun: lines.filter(({ result }) => isUnrun(result!, lease.unrun)).length,
    usage: sum(output.usage, errors.usage),
    ...progress,
  };
  // Sent once more when its reply is lost: the id tells a repetition from a second writer.
  const answer = await parts.batches
    .append(lease.key, append)
    .catch(() => parts.batches.append(lease.key, append));
  if (answer !== 'appended') throw new BatchLost(answer);
  return { output: output.piece, errors: errors.piece };
}

interface Written {
  piece: Piece | undefined;
  lines: number;
  usage: BatchUsage;
}

async function writePiece(
  parts: WriteLinesParts,
  lease: BatchLease,
  lines: readonly OpenLine[],
  stream: PieceStream,
): Promise<Written> {
  const own = lines.filter(({ result }) => streamOf(result!) === stream);
  if (own.length === 0) return { piece: undefined, lines: 0, usage: noUsage };
  const { tenant, id } = lease.key;
  const name = nameOfPiece(id, stream);
  let usage = noUsage;
  const render = async function* () {
    for (const { jobId, customId, result } of own) {
      const body = await bodyOf(parts.jobs, tenant, jobId, result!);
      const line = renderLine(jobId, customId, result!, body, lease.unrun);
      usage = sum(usage, line.usage);
      yield line.bytes;
    }
  };
  const bytes = await parts.blobs.put({ tenant, kind: 'batches', name }, render(), Number.MAX_SAFE_INTEGER);
  return { piece: { name, bytes }, lines: own.length, usage };
}

/** Answers are held in memory only while they are few and small; the others are read when it is their turn. */
async function bodyOf(jobs: JobStore, tenant: string, jobId: string, result: LineResult): Promise<Buffer> {
  if (result.kind === 'error') return Buffer.alloc(0);
  return result.body ?? (await jobs.outcome(tenant, jobId))?.body ?? Buffer.alloc(0);
}
