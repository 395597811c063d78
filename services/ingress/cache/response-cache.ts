import type { Settings } from '#config/schema.ts';
import { inShape } from '#shared/cache/answer-forms.ts';
import type { CacheStore, FoundAnswer } from '#shared/cache/cache-store.ts';
import { answeredFields, requestDigest } from '#shared/cache/canonical-request.ts';
import type { VectorIndex } from '#shared/cache/question-group.ts';
import type { CachedFrom, CacheOrder, CacheStatus } from '#shared/contracts/cache.ts';
import type { JobRequest, Usage } from '#shared/contracts/job.ts';
import type { OutcomeHead } from '#shared/contracts/outcome.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import { wakeWaiting } from '#shared/jobs/wake-waiting.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import type { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { announce } from '#shared/results/announce.ts';
import type { OutcomeWaiter } from '#shared/results/await-outcome.ts';
import type { EventFeed } from '#shared/results/event-feed.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { type Prices, usdOf } from '#shared/tokens/price.ts';
import { type CachePlan, type Caller, planOf } from './cache-plan.ts';
import type { CacheWish } from './cache-wish.ts';
import type { SemanticLook } from './semantic-look.ts';

export interface ResponseCacheParts {
  ingressId: string;
  live: Live<Settings>;
  store: CacheStore;
  /** Undefined when there is no semantic cache. */
  vectors: VectorIndex | undefined;
  semantic: SemanticLook | undefined;
  jobs: JobStore;
  redis: RedisConnection;
  waiter: OutcomeWaiter;
  feed: EventFeed;
  prices: Prices;
  queueOf: (provider: string, pool: string) => PoolQueue | undefined;
  metrics: Metrics;
  clock: Clock;
  log: Logger;
}

/** The part of a submission that the cache goes by. */
export interface CacheableCall extends Caller {
  request: JobRequest;
  /** What the call itself says about the cache. */
  cache?: CacheWish | undefined;
  runAtMs: number | undefined;
}

/** An answer that ends a job without a provider. */
export interface CacheHit {
  body: Buffer;
  contentType: string;
  provider: string;
  model: string;
  from: CachedFrom;
  /** What the job is charged. */
  usage: Usage;
  isFree: boolean;
  /** What that costs; undefined where no price is known. */
  costNanoUsd: number | undefined;
}

/** What the cache has to do with a call. */
export interface Consulted {
  status: CacheStatus;
  hit?: CacheHit;
  /** What is to be kept when the provider has answered. */
  order?: CacheOrder;
}

const nothing: Usage = { inputTokens: 0, outputTokens: 0 };

/**
 * Answers calls from earlier answers of their tenant. A hit is a job like any other, ended where it was accepted: it has
 * an id, an outcome, events, a ledger row and a webhook, but no attempt. Calls get here after they were authenticated,
 * validated and routed, so whoever may not make a call gets no answer to it either.
 *
 * Whatever fails here makes the call a miss.
 */
export class ResponseCache {
  readonly #parts: ResponseCacheParts;

  constructor(parts: ResponseCacheParts) {
    this.#parts = parts;
  }

  /**
   * Looks for an answer: one round trip, and none for a call that does not use the cache. Undefined when nobody spoke of
   * the cache.
   *
   * @throws SluiceError invalid_header
   */
  async consult(call: CacheableCall): Promise<Consulted | undefined> {
    const plan = planOf(this.#parts.live.current, call, call.cache);
    // The copy of a call is made to see what its provider says.
    if (plan === undefined || call.request.isCopy) return undefined;
    const consulted = plan === 'off' ? { status: 'off' as const } : await this.#consult(call, plan);
    const { metrics } = this.#parts;
    const { status, hit } = consulted;
    const tenant = metrics.tenantLabel(call.tenant);
    metrics.cacheCalls.inc({ tenant, result: status });
    if (hit) {
      metrics.cacheBytes.inc({ tenant }, hit.body.length);
      metrics.cacheSaved.inc({ tenant }, usdOf(hit.from.savedNanoUsd ?? 0));
    }
    return consulted;
  }

  async #consult(call: CacheableCall, plan: CachePlan): Promise<Consulted> {
    const { request, tenant } = call;
    const { namespace, ttlMs, truncated, toolCalls } = plan;
    const fields = answeredFields(request);
    // What these stand for changes between two calls that look the same.
    if (fields.conversation !== undefined || fields.background === true) return { status: 'off' };
    const order = { namespace, key: requestDigest(request, fields), ttlMs, truncated, toolCalls };
    // A job for later is answered then.
    if (call.runAtMs !== undefined) return { status: plan.lookup ? 'miss' : 'refresh', order };
    const same = plan.lookup ? await this.#find(tenant, order) : undefined;
    const hit = same && this.#hitOf(request, same, plan, { status: 'hit' });
    if (hit) return { status: 'hit', hit };
    if (plan.mode !== 'semantic' || !this.#parts.semantic)
      return { status: plan.lookup ? 'miss' : 'refresh', order };
    const { found, semantic } = await this.#parts.semantic.look(tenant, request, fields, plan);
    const near =
      found && this.#hitOf(request, found, plan, { status: 'semantic_hit', similarity: found.similarity });
    if (near) return { status: 'semantic_hit', hit: near };
    const meant: CacheOrder = semantic ? { ...order, semantic } : order;
    return { status: plan.lookup ? 'miss' : 'refresh', order: meant };
  }

  async #find(tenant: string, { namespace, key }: CacheOrder): Promise<FoundAnswer | undefined> {
    try {
      return await this.#parts.store.find({ tenant, namespace, key });
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      this.#parts.log.warn({ code: error.code }, 'the cache could not be asked');
      return undefined;
    }
  }

  #hitOf(
    { endpoint, stream }: JobRequest,
    found: FoundAnswer,
    { charged }: CachePlan,
    how: Pick<CachedFrom, 'status' | 'similarity'>,
  ): CacheHit | undefined {
    const shaped = inShape(endpoint, found, stream ?? 'whole');
    if (!shaped) return undefined;
    const { provider, model, usage = nothing, createdMs } = found;
    const ageSeconds = Math.max(0, Math.floor((this.#parts.clock.nowMs() - createdMs) / 1_000));
    const price = this.#parts.prices.priceOf({ provider, model }, usage);
    const [paid, saved] = charged ? [price, 0] : [0, price];
    const from: CachedFrom = {
      ...how,
      ageSeconds,
      savedInputTokens: charged ? 0 : usage.inputTokens,
      savedOutputTokens: charged ? 0 : usage.outputTokens,
      ...(saved === undefined ? {} : { savedNanoUsd: saved }),
    };
    const answer = { ...shaped, provider, model, from };
    return { ...answer, usage: charged ? usage : nothing, isFree: !charged, costNanoUsd: paid };
  }

  /** Ends a job that was accepted just now with an answer of the cache; false when it could not be stored. */
  async settle({ tenant, request }: CacheableCall, jobId: string, hit: CacheHit): Promise<boolean> {
    const { jobs, log, metrics, queueOf } = this.#parts;
    const { body, usage } = hit;
    const head = headOf(jobId, request, hit);
    try {
      const bodyBlob = await jobs.bodies.keep(tenant, jobId, 'result', body);
      const settlement = { tenant, state: 'succeeded', head, body, usage, attempt: undefined } as const;
      const settled = await jobs.settle({ ...settlement, bodyBlob, onlyWaiting: true });
      if (settled.kind === 'settled') {
        const pool = `${request.provider}/${request.pool}`;
        metrics.jobsFinished.inc({ tenant: metrics.tenantLabel(tenant), pool, state: 'succeeded' });
        this.#tell(settled.waiters, head, body);
        await wakeWaiting({ jobs, queueOf: (id) => queueOf(id.provider, id.pool) }, tenant, settled.woken);
      }
      return true;
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      log.warn({ job: jobId, code: error.code }, 'a cached answer could not be stored; a provider is asked');
      return false;
    }
  }

  /** Forgets the answers of a namespace, or all of the tenant; returns how many there were. */
  async clear(tenant: string, namespace: string | undefined): Promise<number> {
    await this.#parts.vectors?.clear(tenant, namespace);
    return this.#parts.store.clear(tenant, namespace);
  }

  /** Whether an answer of the tenant lies under this name in the blob store. */
  holds(tenant: string, blob: string): Promise<boolean> {
    return this.#parts.store.holds(tenant, blob);
  }

  /** Those who wait here need no message; one that is lost elsewhere costs a re-read. */
  #tell(waiters: readonly string[], head: OutcomeHead, body: Buffer): void {
    const { ingressId, waiter, feed, redis, live, log } = this.#parts;
    if (waiters.includes(ingressId)) {
      waiter.receive({ kind: 'outcome', head, body });
      feed.receive({ kind: 'outcome', head, body });
    }
    const others = waiters.filter((each) => each !== ingressId);
    announce(redis, live.current.replies, others, head, body).catch((error: unknown) => {
      log.warn({ job: head.job, reason: String(error) }, 'announcement failed');
    });
  }
}

function headOf(job: string, { stream }: JobRequest, hit: CacheHit): OutcomeHead {
  const { contentType, provider, model, from, costNanoUsd } = hit;
  return {
    job,
    state: 'succeeded',
    status: 200,
    contentType,
    headers: {},
    provider,
    model,
    error: null,
    attempts: 0,
    ...(stream ? { streamed: true } : {}),
    cached: from,
    ...(costNanoUsd === undefined ? {} : { costNanoUsd }),
    queueMs: 0,
    providerMs: 0,
  };
}
