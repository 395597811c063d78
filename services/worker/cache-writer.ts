import type { Settings } from '#config/schema.ts';
import type { PayloadBlobs } from '#shared/blobs/payload-blobs.ts';
import { answerEnd } from '#shared/cache/answer-forms.ts';
import { type CachedAnswer, CacheStore } from '#shared/cache/cache-store.ts';
import type { VectorIndex } from '#shared/cache/question-group.ts';
import { openVectorIndex } from '#shared/cache/vector-index.ts';
import { vectorOf } from '#shared/cache/vectors.ts';
import type { CacheOrder } from '#shared/contracts/cache.ts';
import type { BegunJob, Settlement } from '#shared/jobs/job-store.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

export interface CacheWriterOptions {
  store: CacheStore;
  /** Where questions are found by what they mean; undefined when there is no semantic cache. */
  vectors: VectorIndex | undefined;
  settings: Settings['cache'];
  metrics: Metrics;
  onError: (error: unknown) => void;
}

/** The writer of a worker. */
export function openCacheWriter({
  redis,
  large,
  ...options
}: Omit<CacheWriterOptions, 'store' | 'vectors'> & {
  redis: RedisConnection;
  large: PayloadBlobs;
}): CacheWriter {
  const { settings } = options;
  const store = new CacheStore({ redis, settings, large });
  return new CacheWriter({ ...options, store, vectors: openVectorIndex(redis, settings.semantic) });
}

/** What became of an answer that was to be kept. */
type StoreResult = 'stored' | 'unfit' | 'too_large' | 'busy' | 'failed';

/**
 * Keeps answers for later calls, after their jobs were settled and beside everything else: a worker that dies in between
 * loses an entry of the cache and nothing more.
 */
export class CacheWriter {
  readonly #options: CacheWriterOptions;
  #storing = 0;

  constructor(options: CacheWriterOptions) {
    this.#options = options;
  }

  /** Keeps the answer of a settled job, if it was to be kept and is a good one. Returns at once. */
  offer(job: BegunJob, settlement: Settlement): void {
    const { state, head } = settlement;
    if (!job.cache || state !== 'succeeded' || head.status !== 200) return;
    this.#take(job, settlement, job.cache);
  }

  #take({ endpoint, stream }: BegunJob, settlement: Settlement, order: CacheOrder): void {
    const { tenant, head, body, usage } = settlement;
    const { contentType, provider, model, streamed } = head;
    const shape = streamed && stream ? stream : 'whole';
    const answer: CachedAnswer = { shape, contentType, provider, model, usage, body };
    const { settings, metrics, onError } = this.#options;
    const count = (result: StoreResult) => {
      metrics.cacheStores.inc({ tenant: metrics.tenantLabel(tenant), result });
    };
    let unkept: StoreResult | undefined;
    if (body.length > settings.entry_max_bytes) unkept = 'too_large';
    else if (this.#storing >= settings.stores_max) unkept = 'busy';
    else if (!isGood(endpoint, answer, order)) unkept = 'unfit';
    if (unkept) {
      count(unkept);
      return;
    }
    this.#storing++;
    this.#store(tenant, order, answer)
      .then(
        () => count('stored'),
        (error: unknown) => {
          count('failed');
          onError(error);
        },
      )
      .finally(() => this.#storing--);
  }

  async #store(
    tenant: string,
    { namespace, key, ttlMs, semantic }: CacheOrder,
    answer: CachedAnswer,
  ): Promise<void> {
    const { store, vectors } = this.#options;
    await store.put({ tenant, namespace, key }, answer, ttlMs);
    if (!semantic || !vectors) return;
    const { group, vector } = semantic;
    await vectors.add({ tenant, namespace, group }, key, vectorOf(Buffer.from(vector, 'base64')), ttlMs);
  }
}

/** Whether an answer may be given to others: whole, and nothing that its caller has to act upon, unless told so. */
function isGood(endpoint: BegunJob['endpoint'], answer: CachedAnswer, order: CacheOrder): boolean {
  switch (answerEnd(endpoint, answer)) {
    case 'complete':
      return true;
    case 'tools':
      return order.toolCalls;
    case 'truncated':
      return order.truncated;
    case 'unfinished':
      return false;
  }
}
