import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { clearGroups } from './clear-groups.ts';
import { groupOf, type Neighbour, type QuestionGroup, type VectorIndex } from './question-group.ts';
import { bytesOf } from './vectors.ts';

/** Redis 8 has the commands VADD and VSIM. */
export async function hasVectorSets(redis: RedisConnection): Promise<boolean> {
  const [about] = await ask(redis.call('COMMAND', 'INFO', 'VADD') as Promise<unknown[]>);
  return Array.isArray(about);
}

/** One vector set per group; comparing is Redis' work. */
export class VectorSets implements VectorIndex {
  readonly #redis: RedisConnection;
  readonly #entriesMax: number;

  constructor(redis: RedisConnection, entriesMax: number) {
    this.#redis = redis;
    this.#entriesMax = entriesMax;
  }

  async nearest(group: QuestionGroup, vector: Float32Array, count: number): Promise<Neighbour[]> {
    const bytes = bytesOf(vector);
    const rows = (await ask(
      this.#redis.call('VSIM', setOf(group), 'FP32', bytes, 'WITHSCORES', 'COUNT', count),
    )) as string[];
    // A score of 1 is the same direction, 0 the opposite one.
    return rows.flatMap((key, at) => (at % 2 === 0 ? [{ key, cosine: 2 * Number(rows[at + 1]) - 1 }] : []));
  }

  async add(group: QuestionGroup, key: string, vector: Float32Array, ttlMs: number): Promise<void> {
    const set = setOf(group);
    await ask(this.#redis.call('VADD', set, 'FP32', bytesOf(vector), key, 'NOQUANT'));
    const groups = keys.cacheGroups(group.tenant);
    await ask(this.#redis.sadd(groups, groupOf(group)));
    for (const place of [set, groups]) {
      if ((await ask(this.#redis.pttl(place))) < ttlMs) await ask(this.#redis.pexpire(place, ttlMs));
    }
    const held = Number(await ask(this.#redis.call('VCARD', set)));
    if (held <= this.#entriesMax) return;
    // Vector sets keep no order: any one makes room.
    const any = await ask(this.#redis.call('VRANDMEMBER', set));
    if (typeof any === 'string' && any !== key) await ask(this.#redis.call('VREM', set, any));
  }

  async clear(tenant: string, namespace: string | undefined): Promise<void> {
    await clearGroups(this.#redis, tenant, namespace, (group) => [keys.cacheVectorSet(tenant, group)]);
  }

  async drop(group: QuestionGroup, gone: readonly string[]): Promise<void> {
    for (const key of gone) await ask(this.#redis.call('VREM', setOf(group), key));
  }
}

const setOf = (group: QuestionGroup) => keys.cacheVectorSet(group.tenant, groupOf(group));

async function ask<T>(command: Promise<T>): Promise<T> {
  try {
    return await command;
  } catch (error) {
    throw storeError(error);
  }
}
