import type { CallAxes } from '#shared/contracts/job.ts';
import { messageIdOf, type WebhookEvent } from '#shared/contracts/webhook.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import {
  type BatchEnd,
  type BatchRecord,
  type BatchStatus,
  type BatchUsage,
  batchOf,
} from './batch-record.ts';
import * as scripts from './batch-scripts.ts';
import type { PieceStream } from './file-store.ts';

/**
 * The records of batches. One process at a time drives a batch, under a lease that it renews; every step it takes names
 * its token, so that a process that lost the lease changes nothing any more.
 *
 *   validating ──▶ in_progress ──▶ finalizing ──▶ completed | expired
 *       │  └──▶ failed     │
 *       └──────────────────┴──▶ cancelling ──▶ cancelled
 */
export interface NewBatch {
  id: string;
  tenant: string;
  inputFileId: string;
  endpoint: string;
  completionWindow: string;
  windowMs: number;
  metadata: Record<string, string> | null;
  axes: CallAxes;
  /** How long what it writes is kept; undefined: as files are. */
  outputSeconds: number | undefined;
  openMax: number;
}

/** A batch that this process drives. */
export interface BatchKey {
  tenant: string;
  id: string;
  token: string;
}

/** A piece of output: its blob, and its size. */
export interface Piece {
  name: string;
  bytes: number;
}

/** Lines that are done together. */
export interface Append {
  /** Made anew for each append, so that one whose reply was lost can be sent again. */
  id: string;
  lines: readonly number[];
  output: Piece | undefined;
  errors: Piece | undefined;
  completed: number;
  failed: number;
  /** Of the failed: those that were not run because the batch was over. */
  unrun: number;
  usage: BatchUsage;
  cursor: { line: number; offset: number };
  linesPerSecond: number;
}

/** Looked at again this long after it was made, should the process that made it die before it says so. */
const firstLookMs = 5_000;
const memberOf = (tenant: string, id: string) => `${tenant} ${id}`;
const pieceText = ({ name, bytes }: Piece) => `${name} ${bytes}`;

export class BatchStore {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  async make(batch: NewBatch): Promise<{ kind: 'made' | 'no_file' | 'too_many'; detail: number }> {
    const { tenant, id } = batch;
    // The index comes first: a batch that nobody looks at would never run.
    await this.lookIn(tenant, id, firstLookMs);
    const [kind, detail] = await runScript(this.#redis, scripts.makeBatchScript, {
      keys: {
        batch: keys.batch(tenant, id),
        batches: keys.batches(tenant),
        openBatches: keys.openBatches(tenant),
        file: keys.file(tenant, batch.inputFileId),
      },
      args: { suppliedNowMs: '', batchId: id, openMax: batch.openMax, windowMs: batch.windowMs },
      rest: [
        'endpoint',
        batch.endpoint,
        'inputFileId',
        batch.inputFileId,
        'completionWindow',
        batch.completionWindow,
        'axes',
        JSON.stringify(batch.axes),
        ...(batch.metadata ? ['metadata', JSON.stringify(batch.metadata)] : []),
        ...(batch.outputSeconds === undefined ? [] : ['outputSeconds', batch.outputSeconds]),
      ],
    });
    if (kind === 'made') await this.lookIn(tenant, id, 0);
    return { kind, detail };
  }

  async view(tenant: string, id: string): Promise<BatchRecord | undefined> {
    return batchOf(tenant, id, await this.#ask(this.#redis.hgetall(keys.batch(tenant, id))));
  }

  /** A page of the tenant's batch ids, newest first, after the batch `after`; none when there is no such batch. */
  async list(tenant: string, after: string | undefined, limit: number): Promise<string[]> {
    const batches = keys.batches(tenant);
    if (after === undefined) return this.#ask(this.#redis.zrevrange(batches, 0, limit - 1));
    const rank = await this.#ask(this.#redis.zrevrank(batches, after));
    return rank === null ? [] : this.#ask(this.#redis.zrevrange(batches, rank + 1, rank + limit));
  }

  /** Drops a batch whose record is gone from the tenant's list. */
  async forget(tenant: string, id: string): Promise<void> {
    await this.#ask(this.#redis.zrem(keys.batches(tenant), id));
  }

  async cancel(
    tenant: string,
    id: string,
  ): Promise<{ kind: 'cancelling' | 'ended' | 'gone'; status: string }> {
    const [kind, status] = await runScript(this.#redis, scripts.cancelBatchScript, {
      keys: { batch: keys.batch(tenant, id) },
      args: { suppliedNowMs: '' },
    });
    return { kind, status };
  }

  /** Batches that may need a driver. A hint, as the index lies on another slot than the records: claim tells. */
  async toDrive(batch: number): Promise<{ tenant: string; id: string }[]> {
    const members = await runScript(this.#redis, scripts.dueMembersScript, {
      keys: { moments: keys.batchesToDrive() },
      args: { suppliedNowMs: '', batch },
    });
    return members.map((member) => {
      const [tenant, id] = member.split(' ');
      return { tenant: tenant!, id: id! };
    });
  }

  /** When somebody looks at the batch next, milliseconds from now; undefined: nobody needs to. */
  async lookIn(tenant: string, id: string, delayMs: number | undefined): Promise<void> {
    const [index, member] = [keys.batchesToDrive(), memberOf(tenant, id)];
    if (delayMs === undefined) return void (await this.#ask(this.#redis.zrem(index, member)));
    const [seconds, micros] = await this.#ask(this.#redis.time());
    const nowMs = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    await this.#ask(this.#redis.zadd(index, String(nowMs + delayMs), member));
  }

  claim(key: BatchKey, leaseMs: number): Promise<['claimed' | 'busy' | 'over' | 'gone', number]> {
    return runScript(this.#redis, scripts.claimBatchScript, {
      keys: { batch: keys.batch(key.tenant, key.id) },
      args: { suppliedNowMs: '', token: key.token, leaseMs },
    });
  }

  /** Renews the lease; `leaseMs` 0 gives it back. Undefined when another process has it. */
  async hold(key: BatchKey, leaseMs: number): Promise<{ nowMs: number; status: BatchStatus } | undefined> {
    const [kind, nowMs, status] = await runScript(this.#redis, scripts.holdBatchScript, {
      keys: { batch: keys.batch(key.tenant, key.id) },
      args: { suppliedNowMs: '', token: key.token, leaseMs },
    });
    return kind === 'held' ? { nowMs: nowMs!, status: status as BatchStatus } : undefined;
  }

  async advance(
    key: BatchKey,
    from: BatchStatus,
    to: BatchStatus,
    fields: readonly (string | number)[] = [],
  ): Promise<'advanced' | 'other' | 'lost'> {
    const [kind] = await runScript(this.#redis, scripts.advanceBatchScript, {
      keys: { batch: keys.batch(key.tenant, key.id) },
      args: { suppliedNowMs: '', token: key.token, from, to },
      rest: fields,
    });
    return kind;
  }

  append({ tenant, id, token }: BatchKey, append: Append): Promise<'appended' | 'twice' | 'lost'> {
    const { output, errors, usage, cursor } = append;
    return runScript(this.#redis, scripts.appendBatchScript, {
      keys: {
        batch: keys.batch(tenant, id),
        done: keys.batchDone(tenant, id),
        output: keys.batchPieces(tenant, id, 'output'),
        errors: keys.batchPieces(tenant, id, 'errors'),
      },
      args: {
        token,
        append: append.id,
        outputPiece: output?.name ?? '',
        errorPiece: errors?.name ?? '',
        outputBytes: output?.bytes ?? 0,
        errorBytes: errors?.bytes ?? 0,
        completed: append.completed,
        failed: append.failed,
        unrun: append.unrun,
        ...usage,
        cursorLine: cursor.line,
        cursorOffset: cursor.offset,
        linesPerSecond: append.linesPerSecond,
      },
      rest: append.lines,
    });
  }

  /** How often in a row driving the batch failed, with this time; 0 when another process has it. */
  noteFailure({ tenant, id, token }: BatchKey): Promise<number> {
    return runScript(this.#redis, scripts.noteFailureScript, {
      keys: { batch: keys.batch(tenant, id) },
      args: { token },
    });
  }

  /** Which lines are done, one bit a line. */
  async done(tenant: string, id: string): Promise<Buffer> {
    return (await this.#ask(this.#redis.getBuffer(keys.batchDone(tenant, id)))) ?? Buffer.alloc(0);
  }

  async pieces(tenant: string, id: string, stream: PieceStream): Promise<Piece[]> {
    const entries = await this.#ask(this.#redis.lrange(keys.batchPieces(tenant, id, stream), 0, '-1'));
    return entries.map((entry) => {
      const [name, bytes] = entry.split(' ');
      return { name: name!, bytes: Number(bytes) };
    });
  }

  merge(
    { tenant, id, token }: BatchKey,
    stream: PieceStream,
    old: readonly Piece[],
    merged: Piece,
  ): Promise<'merged' | 'other'> {
    return runScript(this.#redis, scripts.mergePiecesScript, {
      keys: { batch: keys.batch(tenant, id), pieces: keys.batchPieces(tenant, id, stream) },
      args: { token, piece: merged.name, bytes: merged.bytes },
      rest: old.map(pieceText),
    });
  }

  async dropPieces(tenant: string, id: string, stream: PieceStream): Promise<void> {
    await this.#ask(this.#redis.del(keys.batchPieces(tenant, id, stream)));
  }

  async end(
    { tenant, id, token }: BatchKey,
    inputFileId: string,
    state: BatchEnd,
    retentionSeconds: number,
    fields: readonly string[],
  ): Promise<'ended' | 'other' | 'lost'> {
    const messageId = messageIdOf(id);
    const [kind] = await runScript(this.#redis, scripts.endBatchScript, {
      keys: {
        batch: keys.batch(tenant, id),
        openBatches: keys.openBatches(tenant),
        done: keys.batchDone(tenant, id),
        file: keys.file(tenant, inputFileId),
        outbox: keys.outbox(tenant),
        message: keys.webhookMessage(tenant, messageId),
        subscriptions: keys.webhookSubscriptions(tenant),
      },
      args: {
        suppliedNowMs: '',
        token,
        batchId: id,
        state,
        retentionMs: retentionSeconds * 1_000,
        event: `batch.${state}` satisfies WebhookEvent,
        messageId,
        outboxChannel: keys.outboxChannel(),
        tenant,
      },
      rest: fields,
    });
    return kind;
  }

  async #ask<T>(command: Promise<T>): Promise<T> {
    try {
      return await command;
    } catch (error) {
      throw storeError(error);
    }
  }
}
