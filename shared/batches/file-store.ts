import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import { dueMembersScript } from './batch-scripts.ts';
import { dropFileScript, keepFileScript } from './file-scripts.ts';

export const filePurposes = ['batch', 'batch_output'] as const;
export type FilePurpose = (typeof filePurposes)[number];

/** What a batch writes: results, and lines that failed. */
export type PieceStream = 'output' | 'errors';

/** What is known of a file. Times are milliseconds since the epoch by Redis' clock. */
export interface FileRecord {
  id: string;
  tenant: string;
  purpose: FilePurpose;
  filename: string;
  bytes: number;
  createdMs: number;
  expiresMs: number;
  /** The batch that wrote the file: then its bytes are the pieces of that batch. */
  writtenBy: { batchId: string; stream: PieceStream } | undefined;
}

export interface NewFile extends Omit<FileRecord, 'createdMs' | 'expiresMs'> {
  expiresSeconds: number;
  /** Most bytes the tenant may keep; undefined: not refused. */
  bytesMax: number | undefined;
}

export type Kept = { kind: 'kept'; createdMs: number } | { kind: 'full'; used: number };

const fields = ['purpose', 'filename', 'bytes', 'createdMs', 'expiresMs', 'writtenBy', 'stream'] as const;

/** The records of files. Their bytes lie in the blob store: written before the record, removed after it. */
export class FileStore {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  async keep(file: NewFile): Promise<Kept> {
    const [kind, detail] = await runScript(this.#redis, keepFileScript, {
      keys: this.#keysOf(file.tenant, file.id),
      args: {
        suppliedNowMs: '',
        fileId: file.id,
        bytes: file.bytes,
        bytesMax: file.bytesMax ?? '',
        expiresSeconds: file.expiresSeconds,
      },
      rest: [
        'purpose',
        file.purpose,
        'filename',
        file.filename,
        ...(file.writtenBy ? ['writtenBy', file.writtenBy.batchId, 'stream', file.writtenBy.stream] : []),
      ],
    });
    return kind === 'kept' ? { kind, createdMs: detail } : { kind, used: detail };
  }

  drop(tenant: string, fileId: string, onlyExpired: boolean): Promise<'dropped' | 'held' | 'fresh' | 'gone'> {
    return runScript(this.#redis, dropFileScript, {
      keys: this.#keysOf(tenant, fileId),
      args: { suppliedNowMs: '', fileId, onlyExpired: onlyExpired ? '1' : '0' },
    });
  }

  #keysOf(tenant: string, fileId: string) {
    return {
      file: keys.file(tenant, fileId),
      files: keys.files(tenant),
      fileExpiry: keys.fileExpiry(tenant),
      fileBytes: keys.fileBytes(tenant),
    };
  }

  async view(tenant: string, fileId: string): Promise<FileRecord | undefined> {
    const [purpose, filename, bytes, createdMs, expiresMs, batchId, stream] = await this.#ask(
      this.#redis.hmget(keys.file(tenant, fileId), ...fields),
    );
    if (!purpose) return undefined;
    return {
      id: fileId,
      tenant,
      purpose: purpose as FilePurpose,
      filename: filename!,
      bytes: Number(bytes),
      createdMs: Number(createdMs),
      expiresMs: Number(expiresMs),
      writtenBy: batchId ? { batchId, stream: stream as PieceStream } : undefined,
    };
  }

  /** Bytes of the tenant's files. */
  async bytesUsed(tenant: string): Promise<number> {
    return Number((await this.#ask(this.#redis.get(keys.fileBytes(tenant)))) ?? 0);
  }

  /** A page of the tenant's file ids by time of creation, after the file `after`; none when there is no such file. */
  async list(
    tenant: string,
    after: string | undefined,
    limit: number,
    order: 'asc' | 'desc',
  ): Promise<string[]> {
    const files = keys.files(tenant);
    const desc = order === 'desc';
    let from = 0;
    if (after !== undefined) {
      const rank = await this.#ask(
        desc ? this.#redis.zrevrank(files, after) : this.#redis.zrank(files, after),
      );
      if (rank === null) return [];
      from = rank + 1;
    }
    const to = String(from + limit - 1);
    return this.#ask(desc ? this.#redis.zrevrange(files, from, to) : this.#redis.zrange(files, from, to));
  }

  expired(tenant: string, batch: number): Promise<string[]> {
    return runScript(this.#redis, dueMembersScript, {
      keys: { moments: keys.fileExpiry(tenant) },
      args: { suppliedNowMs: '', batch },
    });
  }

  async #ask<T>(command: Promise<T>): Promise<T> {
    try {
      return await command;
    } catch (error) {
      throw storeError(error);
    }
  }
}
