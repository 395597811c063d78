import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import { putVectorScript } from './cache-scripts.ts';
import { clearGroups } from './clear-groups.ts';
import { groupOf, type Neighbour, type QuestionGroup, type VectorIndex } from './question-group.ts';
import { bytesOf, cosineOf, vectorOf } from './vectors.ts';

export interface StoredVectorsOptions {
  /** Questions of one group; the oldest go first. */
  groupEntriesMax: number;
  /** Memory for copies in this process. */
  maxBytes: number;
}

/** What this process has read of a group. */
interface Copy {
  vectors: Map<string, Float32Array>;
  bytes: number;
  /** Number of the last question read. */
  last: string;
  reading: Promise<void> | undefined;
  /** Room was needed: it serves those who hold it, and is not counted any more. */
  dropped: boolean;
}

/** Vectors read in one step. */
const readStep = 200;
/** Vectors a group that has become too large loses with each new one. */
const evictMax = 100;

/**
 * Vectors in Redis, compared here: each process keeps copies of the groups it was asked for, reads what is new with each
 * look, and forgets the group that was used longest ago when they are too many.
 */
export class StoredVectors implements VectorIndex {
  readonly #redis: RedisConnection;
  readonly #options: StoredVectorsOptions;
  /** In the order of their use. */
  readonly #copies = new Map<string, Copy>();
  #bytes = 0;

  constructor(redis: RedisConnection, options: StoredVectorsOptions) {
    this.#redis = redis;
    this.#options = options;
  }

  async nearest(group: QuestionGroup, vector: Float32Array, count: number): Promise<Neighbour[]> {
    const copy = this.#copyOf(group);
    copy.reading ??= this.#read(group, copy).finally(() => {
      copy.reading = undefined;
    });
    await copy.reading;
    const found: Neighbour[] = [];
    for (const [key, other] of copy.vectors) {
      if (other.length !== vector.length) continue;
      const cosine = cosineOf(vector, other);
      if (found.length === count && cosine <= found.at(-1)!.cosine) continue;
      const at = found.findIndex((each) => each.cosine < cosine);
      found.splice(at === -1 ? found.length : at, 0, { key, cosine });
      if (found.length > count) found.pop();
    }
    return found;
  }

  async add(group: QuestionGroup, key: string, vector: Float32Array, ttlMs: number): Promise<void> {
    await runScript(this.#redis, putVectorScript, {
      keys: placesOf(group),
      args: {
        suppliedNowMs: '',
        member: key,
        vector: bytesOf(vector),
        ttlMs,
        entriesMax: this.#options.groupEntriesMax,
        evictMax,
        group: groupOf(group),
      },
    });
  }

  async drop(group: QuestionGroup, gone: readonly string[]): Promise<void> {
    const copy = this.#copies.get(nameOf(group));
    for (const key of gone) if (copy) this.#forget(copy, key);
    const { order, vectors } = placesOf(group);
    await ask(Promise.all([this.#redis.zrem(order, ...gone), this.#redis.hdel(vectors, ...gone)]));
  }

  async clear(tenant: string, namespace: string | undefined): Promise<void> {
    await clearGroups(this.#redis, tenant, namespace, (group) => [
      keys.cacheQuestions(tenant, group),
      keys.cacheVectors(tenant, group),
    ]);
  }

  /** The copy of a group, marked as used just now. */
  #copyOf(group: QuestionGroup): Copy {
    const name = nameOf(group);
    const copy = this.#copies.get(name) ?? {
      vectors: new Map(),
      bytes: 0,
      last: '-inf',
      reading: undefined,
      dropped: false,
    };
    this.#copies.delete(name);
    this.#copies.set(name, copy);
    return copy;
  }

  /** Reads what was added since the last look. */
  async #read(group: QuestionGroup, copy: Copy): Promise<void> {
    const { order, vectors } = placesOf(group);
    for (;;) {
      const from = copy.last === '-inf' ? copy.last : `(${copy.last}`;
      const rows = await ask(
        this.#redis.zrangebyscore(order, from, '+inf', 'WITHSCORES', 'LIMIT', 0, readStep),
      );
      const members = rows.filter((_row, at) => at % 2 === 0);
      if (members.length === 0) return;
      const read = await ask(this.#redis.hmgetBuffer(vectors, ...members));
      for (const [at, bytes] of read.entries()) if (bytes) this.#keep(copy, members[at]!, vectorOf(bytes));
      copy.last = rows.at(-1)!;
      this.#makeRoom(copy);
      if (members.length < readStep) return;
    }
  }

  #keep(copy: Copy, key: string, vector: Float32Array): void {
    this.#forget(copy, key);
    copy.vectors.set(key, vector);
    this.#count(copy, vector.byteLength);
  }

  #forget(copy: Copy, key: string): void {
    const vector = copy.vectors.get(key);
    if (!vector) return;
    copy.vectors.delete(key);
    this.#count(copy, -vector.byteLength);
  }

  #count(copy: Copy, bytes: number): void {
    copy.bytes += bytes;
    if (!copy.dropped) this.#bytes += bytes;
  }

  /** The oldest questions of the group go, as they do in Redis, and then whole groups. */
  #makeRoom(copy: Copy): void {
    const { groupEntriesMax, maxBytes } = this.#options;
    for (const key of copy.vectors.keys()) {
      if (copy.vectors.size <= groupEntriesMax) break;
      this.#forget(copy, key);
    }
    for (const [name, other] of this.#copies) {
      if (this.#bytes <= maxBytes || this.#copies.size === 1) return;
      this.#copies.delete(name);
      this.#bytes -= other.bytes;
      other.dropped = true;
    }
  }
}

const nameOf = (group: QuestionGroup) => `${group.tenant} ${groupOf(group)}`;
const placesOf = (group: QuestionGroup) => ({
  order: keys.cacheQuestions(group.tenant, groupOf(group)),
  vectors: keys.cacheVectors(group.tenant, groupOf(group)),
  groups: keys.cacheGroups(group.tenant),
});

async function ask<T>(command: Promise<T>): Promise<T> {
  try {
    return await command;
  } catch (error) {
    throw storeError(error);
  }
}
