import { createHash } from 'node:crypto';
import type { BatchEnd, BatchRecord } from '#shared/batches/batch-record.ts';
import type { PieceStream } from '#shared/batches/file-store.ts';
import type { Endpoint } from '#shared/contracts/endpoint.ts';
import { forgetJobsIn } from '#shared/jobs/ended-jobs.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { unrestrictedAccess } from '#shared/tenants/key-access.ts';
import type { BatchLease } from './batch-lease.ts';
import type { DriveParts } from './drive-parts.ts';
import { type UnrunCode, unrunMessages } from './line-result.ts';
import type { OpenLines } from './open-lines.ts';
import { mergePieces } from './pieces.ts';
import type { LineRules } from './read-line.ts';
import { LineRunner } from './run-lines.ts';
import { type Validated, validateBatch } from './validate-batch.ts';
import { BatchLost, writeLines } from './write-lines.ts';

/** Bytes of a line around its body. */
const envelopeBytes = 4_096;
const retryPauseMs = 500;
/** Pieces written between two looks for small ones to merge. */
const appendsPerMerge = 32;
/** How quickly the pace forgets, milliseconds. */
const paceMemoryMs = 30_000;

/**
 * validate → run lines → finalize, for one batch, from wherever whoever drove it before left it. The branching of
 * batches is here and nowhere else.
 *
 * @throws BatchLost when another process drives it now; any other error means: try again later
 */
export async function driveBatch(parts: DriveParts, lease: BatchLease, resumed: BatchRecord): Promise<void> {
  let batch = resumed;
  if (batch.status === 'validating') {
    const validated = await validate(parts, lease, batch);
    if (lease.unrun) return endUnrun(parts, lease, batch, lease.unrun);
    if (validated.kind === 'invalid')
      return endBatch(parts, lease, batch, 'failed', ['errors', JSON.stringify(validated.errors)]);
    const fields = ['total', validated.total, 'model', validated.model];
    refuseLost(await parts.batches.advance(lease.key, 'validating', 'in_progress', fields));
    batch = await viewOf(parts, lease);
  }
  const validatedOnce = batch.atMs.in_progress !== undefined;
  if (validatedOnce && batch.status !== 'finalizing') {
    const broken = await runLines(parts, lease, batch, batch === resumed).catch(brokenInput);
    if (broken) return endBatch(parts, lease, batch, 'failed', [...(await keepAll(parts, lease)), ...broken]);
  }
  await finalize(parts, lease);
}

/** Ends a batch whose driving fails time after time; what it has written is kept. */
export async function giveUpBatch(parts: DriveParts, lease: BatchLease, times: number): Promise<void> {
  const message = `Running this batch failed ${times} times in a row; it was given up.`;
  const fields = [...(await keepAll(parts, lease)), ...errorsField('batch_given_up', message)];
  return endBatch(parts, lease, await viewOf(parts, lease), 'failed', fields);
}

const errorsField = (code: string, message: string) => [
  'errors',
  JSON.stringify([{ code, message, param: null, line: null }]),
];

const unrunEnds = {
  batch_expired: 'expired',
  batch_cancelled: 'cancelled',
  tenant_removed: 'failed',
} as const;

/** The end of a batch of which lines were not run. */
function endUnrun(
  parts: DriveParts,
  lease: BatchLease,
  batch: BatchRecord,
  code: UnrunCode,
  fields: string[] = [],
): Promise<void> {
  const why = code === 'tenant_removed' ? errorsField(code, unrunMessages[code]) : [];
  return endBatch(parts, lease, batch, unrunEnds[code], [...fields, ...why]);
}

/** An input that cannot be read any more will not come back; all else may. */
function brokenInput(error: unknown): string[] {
  if (!(error instanceof SluiceError) || error.code !== 'file_not_found') throw error;
  return errorsField(error.code, error.message);
}

function refuseLost(answer: string): void {
  if (answer === 'lost') throw new BatchLost(answer);
}

async function viewOf({ batches }: DriveParts, { key }: BatchLease): Promise<BatchRecord> {
  const batch = await batches.view(key.tenant, key.id);
  if (!batch) throw new BatchLost('gone');
  return batch;
}

function rulesOf(parts: DriveParts, { id, tenant, axes, endpoint }: BatchRecord): LineRules {
  const { body_max_bytes, body_max_depth } = parts.settings.http;
  return {
    tenant,
    batchId: id,
    axes,
    endpoint: endpoint as Endpoint,
    router: parts.router,
    // What a key that was removed may call is what its lines were validated for.
    get access() {
      return parts.virtualKeys.ofIdentity({ tenant, keyId: axes.key })?.access ?? unrestrictedAccess;
    },
    // The envelope is one level.
    maxDepth: body_max_depth + 1,
    maxBytes: body_max_bytes + envelopeBytes,
  };
}

async function validate(parts: DriveParts, lease: BatchLease, batch: BatchRecord): Promise<Validated> {
  try {
    const chunks = await parts.readInput(batch, 0);
    const { lines_max } = parts.settings.files;
    const validated = await validateBatch(chunks, rulesOf(parts, batch), lines_max, lease.winding);
    if (lease.lost.aborted) throw new BatchLost('lost');
    return validated;
  } catch (error) {
    if (!(error instanceof SluiceError) || error.entry.retryable) throw error;
    return {
      kind: 'invalid',
      errors: [{ code: error.code, message: error.message, param: null, line: null }],
    };
  }
}

async function runLines(
  parts: DriveParts,
  lease: BatchLease,
  batch: BatchRecord,
  resumed: boolean,
): Promise<undefined> {
  const runner = new LineRunner(parts, lease, batch, rulesOf(parts, batch), resumed);
  const over = new AbortController();
  const done = await parts.batches.done(batch.tenant, batch.id);
  const all = [
    runner.read(done),
    writeFinished(parts, lease, runner.open).finally(() => over.abort()),
    runner.windUp(over.signal),
  ];
  // One that fails must not leave the others waiting for it.
  const ended = await Promise.allSettled(
    all.map((part) =>
      part.catch((error: unknown) => {
        lease.end();
        throw error;
      }),
    ),
  );
  const failed = ended.find((each) => each.status === 'rejected');
  if (failed) throw failed.reason;
  if (runner.failure !== undefined) throw runner.failure;
  if (lease.lost.aborted) throw new BatchLost('lost');
  return undefined;
}

/** Writes finished lines until all are written: many at once, or few when they have waited long enough. */
async function writeFinished(parts: DriveParts, lease: BatchLease, open: OpenLines): Promise<void> {
  const { settings, clock, redis } = parts;
  const pace = newPace(clock.monotonicMs());
  let appends = 0;
  while (!open.isOver && !lease.lost.aborted) {
    if (!(await untilWorthWriting(parts, lease, open))) continue;
    const lines = open.takeReady();
    const linesPerSecond = pace(lines.length, clock.monotonicMs());
    const cursor = open.cursorAfter(lines);
    await insist(parts, lease, () => writeLines(parts, lease, lines, { cursor, linesPerSecond }));
    open.written(lines);
    const { tenant } = lease.key;
    const ids = lines.filter(({ result }) => result?.kind === 'job').map(({ jobId }) => jobId);
    await forgetJobsIn(redis, tenant, ids, settings.batches.line_retention_seconds).catch(parts.onError);
    appends++;
    if (appends % appendsPerMerge === 0) {
      for (const stream of ['output', 'errors'] as const)
        await mergePieces(parts, lease.key, stream, settings.batches.append_bytes).catch(parts.onError);
    }
  }
}

/** Whether there is something to write by now. */
async function untilWorthWriting(parts: DriveParts, lease: BatchLease, open: OpenLines): Promise<boolean> {
  if (open.readyCount === 0) {
    await open.changed;
    return false;
  }
  let patient = true;
  const timer = parts.clock.after(parts.settings.batches.append_ms, () => {
    patient = false;
    open.wake();
  });
  while (patient && !open.isWorthWriting && !lease.lost.aborted) await open.changed;
  timer.cancel();
  return !lease.lost.aborted;
}

/** Lines per second, as an average that forgets. */
function newPace(startMs: number): (lines: number, nowMs: number) => number {
  let lastMs = startMs;
  let rate: number | undefined;
  return (lines, nowMs) => {
    const passedMs = Math.max(1, nowMs - lastMs);
    lastMs = nowMs;
    const current = (lines * 1_000) / passedMs;
    rate = rate === undefined ? current : rate + (current - rate) * (1 - Math.exp(-passedMs / paceMemoryMs));
    return Number(rate.toFixed(3));
  };
}

/** Tries again while a store is away and the batch is ours. */
async function insist<T>(
  { clock, onError }: DriveParts,
  lease: BatchLease,
  step: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof SluiceError) || !error.entry.retryable) throw error;
      onError(error);
      await clock.sleep(retryPauseMs, lease.lost);
      if (lease.lost.aborted) throw new BatchLost('lost', { cause: error });
    }
  }
}

async function finalize(parts: DriveParts, lease: BatchLease): Promise<void> {
  const answer = await parts.batches.advance(lease.key, 'in_progress', 'finalizing');
  refuseLost(answer);
  const fields = await keepAll(parts, lease);
  const batch = await viewOf(parts, lease);
  if (batch.status === 'cancelling') return endUnrun(parts, lease, batch, 'batch_cancelled', fields);
  // A batch whose lines were all run is complete, however late its end is written.
  if (batch.unrun === 0) return endBatch(parts, lease, batch, 'completed', fields);
  return endUnrun(parts, lease, batch, lease.unrun ?? 'batch_expired', fields);
}

/** Both files of a batch, as fields of its record. */
async function keepAll(parts: DriveParts, lease: BatchLease): Promise<string[]> {
  const batch = await viewOf(parts, lease);
  return [
    ...(await keepOutput(parts, batch, 'output', 'outputFileId')),
    ...(await keepOutput(parts, batch, 'errors', 'errorFileId')),
  ];
}

/** Makes a file of what the batch wrote; again the same one if it was made before. */
async function keepOutput(
  { files, settings }: DriveParts,
  batch: BatchRecord,
  stream: PieceStream,
  field: string,
): Promise<string[]> {
  const bytes = stream === 'output' ? batch.outputBytes : batch.errorBytes;
  if (bytes === 0) return [];
  const { tenant, id: batchId } = batch;
  const id = `file_${createHash('sha256').update(`${batchId} ${stream}`).digest('hex').slice(0, 32)}`;
  const filename = `${batchId}_${stream === 'output' ? 'output' : 'error'}.jsonl`;
  const expiresSeconds = batch.outputSeconds ?? settings.files.retention_seconds;
  const writtenBy = { batchId, stream };
  await files.keep({
    id,
    tenant,
    purpose: 'batch_output',
    filename,
    bytes,
    writtenBy,
    expiresSeconds,
    bytesMax: undefined,
  });
  return [field, id];
}

async function endBatch(
  { batches, settings }: DriveParts,
  { key }: BatchLease,
  { inputFileId }: BatchRecord,
  state: BatchEnd,
  fields: string[] = [],
): Promise<void> {
  refuseLost(await batches.end(key, inputFileId, state, settings.batches.retention_seconds, fields));
}
