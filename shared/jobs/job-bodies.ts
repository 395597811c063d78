import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

/** Where bodies lie that are too large for a record; a service hands it over. Every method may throw `blobs_unavailable`. */
export interface LargeBodies {
  /** Bytes a record holds itself. */
  inlineMaxBytes: number;
  /** Returns when the bytes are durable. */
  write(tenant: string, name: string, bytes: Uint8Array): Promise<void>;
  /** Undefined when there is no such body. */
  read(tenant: string, name: string): Promise<Buffer | undefined>;
  remove(tenant: string, name: string): Promise<void>;
}

const namePattern = /^(job_[a-z0-9]+)\.(request|result)\.[0-9a-f-]{36}$/;

/**
 * Requests and answers that are too large for a record. They are written before the record names them and removed after
 * it has ended, so what a record names is there; what a crash leaves behind is named by no record, and swept. Each
 * write has a name of its own: removing what one writer left cannot take it from another.
 */
export class JobBodies {
  readonly #redis: RedisConnection;
  readonly #large: LargeBodies | undefined;

  /** Without `large` every body lies in its record. */
  constructor(redis: RedisConnection, large: LargeBodies | undefined) {
    this.#redis = redis;
    this.#large = large;
  }

  /** The name under which a body was kept; undefined when it belongs into the record. */
  async keep(
    tenant: string,
    jobId: string,
    kind: 'request' | 'result',
    body: string | Buffer,
  ): Promise<string | undefined> {
    const large = this.#large;
    if (!large || Buffer.byteLength(body) <= large.inlineMaxBytes) return undefined;
    const name = `${jobId}.${kind}.${crypto.randomUUID()}`;
    await large.write(tenant, name, typeof body === 'string' ? Buffer.from(body) : body);
    return name;
  }

  /** Undefined when it is gone, which happens only when somebody else removed it. */
  async read(tenant: string, name: string): Promise<Buffer | undefined> {
    return this.#large?.read(tenant, name);
  }

  /** Removes a body that no record needs any more; one that cannot be removed now is left to the sweeper. */
  drop(tenant: string, name: string): void {
    this.#large?.remove(tenant, name).catch(() => undefined);
  }

  async remove(tenant: string, name: string): Promise<void> {
    await this.#large?.remove(tenant, name);
  }

  /** Notes when the record that names a body should end, so that it need not be found among all others. */
  async noteEnd(tenant: string, name: string, inMs: number): Promise<void> {
    const atMs = (await this.#nowMs()) + inMs;
    await this.#ask(this.#redis.zadd(keys.bodyExpiry(tenant), String(atMs), name));
  }

  /** Up to `batch` bodies whose time has come. */
  async ended(tenant: string, batch: number): Promise<string[]> {
    const nowMs = await this.#nowMs();
    const index = keys.bodyExpiry(tenant);
    return this.#ask(this.#redis.zrangebyscore(index, '-inf', String(nowMs), 'LIMIT', 0, batch));
  }

  async forgetExpiry(tenant: string, name: string): Promise<void> {
    await this.#ask(this.#redis.zrem(keys.bodyExpiry(tenant), name));
  }

  /** For how long the record goes on that names the body: 0 when none does, infinite while its job has not ended. */
  async neededMs(tenant: string, name: string): Promise<number> {
    const [, jobId, kind] = namePattern.exec(name) ?? [];
    if (jobId === undefined) return 0;
    const key = keys.job(tenant, jobId);
    const [request, head] = await this.#ask(this.#redis.hmget(key, 'requestBlob', 'head'));
    if (kind === 'request') return request === name && !head ? Number.POSITIVE_INFINITY : 0;
    if (!head?.includes(name)) return 0;
    return Math.max(0, await this.#ask(this.#redis.pttl(key)));
  }

  async #nowMs(): Promise<number> {
    const [seconds, micros] = await this.#ask(this.#redis.time());
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
  }

  async #ask<T>(command: Promise<T>): Promise<T> {
    try {
      return await command;
    } catch (error) {
      throw storeError(error);
    }
  }
}
