import type { Settings } from '#config/schema.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import type { Neighbour, QuestionGroup, VectorIndex } from './question-group.ts';
import { StoredVectors } from './stored-vectors.ts';
import { hasVectorSets, VectorSets } from './vector-sets.ts';

type SemanticSettings = Settings['cache']['semantic'];

/** The vectors of questions; undefined when there is no semantic cache. */
export function openVectorIndex(redis: RedisConnection, settings: SemanticSettings): VectorIndex | undefined {
  return settings.model === undefined ? undefined : new ChosenVectors(redis, settings);
}

/** Redis' own vector sets where it has them, else vectors that are compared in this process; found out with the first use. */
class ChosenVectors implements VectorIndex {
  readonly #redis: RedisConnection;
  readonly #settings: SemanticSettings;
  #index: VectorIndex | undefined;

  constructor(redis: RedisConnection, settings: SemanticSettings) {
    this.#redis = redis;
    this.#settings = settings;
  }

  async nearest(group: QuestionGroup, vector: Float32Array, count: number): Promise<Neighbour[]> {
    return (await this.#chosen()).nearest(group, vector, count);
  }

  async add(group: QuestionGroup, key: string, vector: Float32Array, ttlMs: number): Promise<void> {
    return (await this.#chosen()).add(group, key, vector, ttlMs);
  }

  async drop(group: QuestionGroup, keys: readonly string[]): Promise<void> {
    return (await this.#chosen()).drop(group, keys);
  }

  async clear(tenant: string, namespace: string | undefined): Promise<void> {
    return (await this.#chosen()).clear(tenant, namespace);
  }

  async #chosen(): Promise<VectorIndex> {
    if (this.#index) return this.#index;
    const { group_entries_max: groupEntriesMax, index_max_bytes: maxBytes } = this.#settings;
    const hasSets = await hasVectorSets(this.#redis);
    this.#index ??= hasSets
      ? new VectorSets(this.#redis, groupEntriesMax)
      : new StoredVectors(this.#redis, { groupEntriesMax, maxBytes });
    return this.#index;
  }
}
