import type { Settings } from '#config/schema.ts';
import type { PayloadBlobs } from '#shared/blobs/payload-blobs.ts';
import type { StreamMode, Usage } from '#shared/contracts/job.ts';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import { dropScript, putScript } from './cache-scripts.ts';

/** How the bytes of an answer were made: in one piece, or as one of the two kinds of stream. */
export type AnswerShape = 'whole' | StreamMode;

interface AnswerHead {
  shape: AnswerShape;
  contentType: string;
  provider: string;
  model: string;
  /** What the call used that was answered first. */
  usage: Usage | undefined;
}

/** A complete answer as the provider (or its translation) gave it. */
export interface CachedAnswer extends AnswerHead {
  body: Buffer;
}

export interface FoundAnswer extends CachedAnswer {
  /** By Redis' clock, milliseconds since the epoch. */
  createdMs: number;
}

/** Where one answer lies within its tenant. */
export interface CachePlace {
  tenant: string;
  namespace: string;
  key: string;
}

type StoredHead = AnswerHead & { blob?: string };

export interface CacheStoreOptions {
  redis: RedisConnection;
  settings: Pick<Settings['cache'], 'entries_max' | 'bytes_max'>;
  /** Where answers lie that are too large for Redis. Undefined: all lie in Redis. */
  large?: PayloadBlobs;
  /** Fixed "now" for tests; empty means Redis time. */
  suppliedNowMs?: () => number | '';
}

/** Answers that one new answer may push out; what is left over goes with the next one. */
const evictMax = 100;
/** Rows of the index looked at, and answers dropped, in one step. */
const dropStep = 500;
const blobPattern = /^cache\.(.+)\.([0-9a-f]{64})\.[0-9a-f-]{36}$/;

/**
 * The answers of each tenant, by namespace and digest of the request: one hash each, which ends by itself, and a book of
 * the tenant (index by end, sizes, total) that bounds them. A tenant's answers are under keys that contain the tenant.
 */
export class CacheStore {
  readonly #options: CacheStoreOptions;

  constructor(options: CacheStoreOptions) {
    this.#options = options;
  }

  /** One round trip, and a read of the blob store when the answer is large. */
  async find({ tenant, namespace, key }: CachePlace): Promise<FoundAnswer | undefined> {
    const entry = keys.cacheEntry(tenant, `${namespace}:${key}`);
    const [head, body, createdMs] = await this.#ask(
      this.#options.redis.hmgetBuffer(entry, 'head', 'body', 'createdMs'),
    );
    if (!head || !body || !createdMs) return undefined;
    const { blob, ...rest } = JSON.parse(head.toString()) as StoredHead;
    const bytes = blob === undefined ? body : await this.#options.large?.read(tenant, blob);
    return bytes && { ...rest, body: bytes, createdMs: Number(createdMs) };
  }

  /** Keeps an answer; may be sent again. */
  async put({ tenant, namespace, key }: CachePlace, answer: CachedAnswer, ttlMs: number): Promise<void> {
    const { large, settings, redis, suppliedNowMs } = this.#options;
    const { body, ...head } = answer;
    const blob =
      large && body.length > large.inlineMaxBytes
        ? `cache.${namespace}.${key}.${crypto.randomUUID()}`
        : undefined;
    // Written before the entry that names it: what a crash leaves is swept.
    if (blob !== undefined) await large!.write(tenant, blob, body);
    const stored: StoredHead = blob === undefined ? head : { ...head, blob };
    const headText = JSON.stringify(stored);
    const dropped = await runScript(redis, putScript, {
      keys: bookOf(tenant),
      args: {
        suppliedNowMs: suppliedNowMs?.() ?? '',
        member: `${namespace}:${key}`,
        head: headText,
        body: blob === undefined ? body : '',
        blob: blob ?? '',
        bytes: body.length + headText.length,
        ttlMs,
        entriesMax: settings.entries_max,
        bytesMax: settings.bytes_max,
        evictMax,
      },
    });
    this.#removeBlobs(tenant, dropped);
  }

  /** Forgets the answers of a namespace, or all of the tenant; returns how many. What is put meanwhile may stay. */
  async clear(tenant: string, namespace: string | undefined): Promise<number> {
    const { redis } = this.#options;
    const { index } = bookOf(tenant);
    const match = namespace === undefined ? '*' : `${namespace}:*`;
    let cursor = '0';
    let dropped = 0;
    do {
      const [next, rows] = await this.#ask(redis.zscan(index, cursor, 'MATCH', match, 'COUNT', dropStep));
      cursor = next;
      const members = rows.filter((_each, at) => at % 2 === 0);
      if (members.length > 0) dropped += await this.#drop(tenant, members);
    } while (cursor !== '0');
    return dropped;
  }

  /** Whether an answer lies under this name in the blob store. */
  async holds(tenant: string, blob: string): Promise<boolean> {
    const [, namespace, key] = blobPattern.exec(blob) ?? [];
    if (namespace === undefined) return false;
    const head = await this.#ask(
      this.#options.redis.hget(keys.cacheEntry(tenant, `${namespace}:${key}`), 'head'),
    );
    return head !== null && (JSON.parse(head) as StoredHead).blob === blob;
  }

  async #drop(tenant: string, members: readonly string[]): Promise<number> {
    const [dropped, ...blobs] = await runScript(this.#options.redis, dropScript, {
      keys: bookOf(tenant),
      args: {},
      rest: members,
    });
    this.#removeBlobs(tenant, blobs);
    return dropped;
  }

  /** What cannot be removed now is left to the sweeper. */
  #removeBlobs(tenant: string, names: readonly string[]): void {
    for (const name of names) this.#options.large?.remove(tenant, name).catch(() => undefined);
  }

  async #ask<T>(command: Promise<T>): Promise<T> {
    try {
      return await command;
    } catch (error) {
      throw storeError(error);
    }
  }
}

const bookOf = (tenant: string) => ({
  entries: keys.cacheEntry(tenant, ''),
  index: keys.cacheIndex(tenant),
  sizes: keys.cacheSizes(tenant),
  total: keys.cacheBytes(tenant),
});
