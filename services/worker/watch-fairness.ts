import type { Settings } from '#config/schema.ts';
import { isTerminal } from '#shared/contracts/job.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import {
  gapBoundOf,
  gapOf,
  giniCoefficient,
  jainIndex,
  type Standings,
  servedBetween,
} from '#shared/queue/fair/fairness.ts';
import { compilePool } from '#shared/queue/fair/pool-config.ts';
import { startsPerSecond } from '#shared/queue/fair/publish-pool.ts';
import type { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { PoolQueues } from '#shared/queue/pool-queues.ts';
import { poolSettingsOf } from '#shared/queue/pool-settings.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

export interface WatchFairnessParts {
  workerId: string;
  live: Live<Settings>;
  redis: RedisConnection;
  queues: PoolQueues;
  jobs: JobStore;
  metrics: Metrics;
  clock: Clock;
  onError: (error: unknown) => void;
}

interface Prediction {
  tenant: string;
  pool: string;
  /** On Redis' clock. */
  startMs: number;
}

const leasePeriods = 3;
/** Starts that were foretold and have not happened yet. */
const predictionsMax = 1_000;

/**
 * Measures, once a period and by one worker for each pool, how fairly the pool was shared, and how well the starts of
 * waiting jobs are foretold. Nothing waits for it; what it does not get to know it does not report.
 */
export class FairnessWatch implements Service {
  readonly name = 'fairness';
  readonly #parts: WatchFairnessParts;
  readonly #stopped = new AbortController();
  /** Standings at the last look, by pool; only of pools whose lease is held. */
  readonly #seen = new Map<string, Standings>();
  /** The largest bound since the lease was taken: what was corrected before counts in the gap too. */
  readonly #bounds = new Map<string, number>();
  readonly #predictions = new Map<string, Prediction>();
  #loop: Promise<void> = Promise.resolve();

  constructor(parts: WatchFairnessParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    this.#loop = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  get #periodMs(): number {
    return this.#parts.live.current.workers.fairness_sample_ms;
  }

  async #watch(): Promise<void> {
    const { clock, queues, onError } = this.#parts;
    while (!this.#stopped.signal.aborted) {
      for (const queue of queues.all()) await this.#look(queue).catch(onError);
      await this.#compareStarts().catch(onError);
      await clock.sleep(this.#periodMs, this.#stopped.signal);
    }
  }

  async #look(queue: PoolQueue): Promise<void> {
    const { live, metrics } = this.#parts;
    const { provider, pool: name } = queue.id;
    const pool = `${provider}/${name}`;
    const settings = live.current.providers[provider]?.pools[name];
    if (!settings || !(await this.#takeLease(queue))) return this.#forget(pool);
    const standings = await queue.standings({
      input: settings.input_weight,
      output: settings.output_weight,
    });
    const before = this.#seen.get(pool);
    this.#seen.set(pool, standings);
    const served = before ? servedBetween(before, standings) : [];
    metrics.waitingJobs.set({ pool }, (await queue.counts()).waiting);
    metrics.fairnessGap.set({ pool }, gapOf(standings));
    const bound = Math.max(this.#bounds.get(pool) ?? 0, gapBoundOf(standings));
    this.#bounds.set(pool, bound);
    metrics.fairnessGapBound.set({ pool }, bound);
    metrics.fairnessGini.set({ pool }, giniCoefficient(served));
    metrics.fairnessJain.set({ pool }, jainIndex(served));
    await this.#foretell(queue, pool);
  }

  async #takeLease({ id }: PoolQueue): Promise<boolean> {
    const { redis, workerId } = this.#parts;
    const key = keys.fairnessLease(id.provider, id.pool);
    const holdMs = this.#periodMs * leasePeriods;
    if ((await redis.set(key, workerId, 'PX', holdMs, 'NX')) === 'OK') return true;
    if ((await redis.get(key)) !== workerId) return false;
    await redis.pexpire(key, holdMs);
    return true;
  }

  /** Another worker reports this pool now. */
  #forget(pool: string): void {
    if (!this.#seen.delete(pool)) return;
    this.#bounds.delete(pool);
    const { waitingJobs, fairnessGap, fairnessGapBound, fairnessGini, fairnessJain } = this.#parts.metrics;
    for (const gauge of [waitingJobs, fairnessGap, fairnessGapBound, fairnessGini, fairnessJain])
      gauge.remove({ pool });
  }

  /** Notes when a waiting job, picked at random, should start. */
  async #foretell(queue: PoolQueue, pool: string): Promise<void> {
    const { jobs, live } = this.#parts;
    if (this.#predictions.size >= predictionsMax) return;
    const picked = await queue.pickWaiting();
    const job = picked && (await jobs.view(picked.tenant, picked.jobId));
    if (job?.state !== 'queued' || job.startedMs !== undefined || this.#predictions.has(job.id)) return;
    const pace = startsPerSecond(compilePool(poolSettingsOf(live.current, queue.id)), job.tokens);
    const { nowMs, estimatedStartMs } = await queue.explain(job.tenant, job.id, pace);
    if (estimatedStartMs === undefined) return;
    this.#predictions.set(job.id, { tenant: job.tenant, pool, startMs: nowMs + estimatedStartMs });
  }

  /** Compares what was foretold with what happened. */
  async #compareStarts(): Promise<void> {
    const { jobs, metrics } = this.#parts;
    for (const [jobId, { tenant, pool, startMs }] of this.#predictions) {
      const job = await jobs.view(tenant, jobId);
      if (job && job.startedMs === undefined && !isTerminal(job.state)) continue;
      this.#predictions.delete(jobId);
      if (job?.startedMs === undefined) continue;
      const direction = job.startedMs < startMs ? 'too_late' : 'too_early';
      const errorSeconds = Math.abs(startMs - job.startedMs) / 1_000;
      metrics.startEstimateErrorSeconds.observe({ pool, direction }, errorSeconds);
    }
  }
}
