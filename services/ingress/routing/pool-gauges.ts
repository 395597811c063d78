import type { Settings } from '#config/schema.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { heldOf, type PoolExplanation } from '#shared/queue/fair/explain.ts';
import { readLatencies } from '#shared/queue/model-latencies.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { PoolQueues } from '#shared/queue/pool-queues.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';

/** How full a pool is for a call of a tenant. */
export interface PoolGauge {
  waitMs: number;
  /** Calls that wait in it, of whomever. */
  depth: number;
  /** It is left alone after failures, or over money. */
  isOpen: boolean;
  /** No credential of it may be called just now. */
  isHeld: boolean;
}

/** Of a pool of which nothing is known. */
export const noGauge: PoolGauge = { waitMs: 0, depth: 0, isOpen: false, isHeld: false };

export interface PoolGaugesOptions {
  readonly settings: Settings;
  /** Pools that routes ask for, and whether they ask for latencies, as of now. */
  readonly wanted: { pools: readonly PoolId[]; latencies: boolean };
  queues: Pick<PoolQueues, 'of'>;
  redis: RedisConnection;
  clock: Clock;
  onError: (error: unknown) => void;
}

/** What a call is taken to last where nothing is known. */
const usualMs = 1_000;
const nameOf = ({ provider, pool }: PoolId) => `${provider}/${pool}`;

/**
 * How full the pools are that routes choose by, read every `routing.gauge_ms` while there are such routes, so that no
 * call waits for it; and how fast models answered of late.
 */
export class PoolGauges implements Service {
  readonly name = 'gauges';
  readonly #options: PoolGaugesOptions;
  readonly #pools = new Map<string, PoolExplanation>();
  /** Pools that were given a probe since they were read. */
  readonly #probed = new Set<string>();
  #latencies: ReadonlyMap<string, number> = new Map();
  #timer: Timer | undefined;
  #reading: Promise<void> | undefined;

  constructor(options: PoolGaugesOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { clock, settings, onError } = this.#options;
    await this.#read().catch(onError);
    this.#timer = clock.every(settings.routing.gauge_ms, () => {
      // One look at a time: a slow store is not asked more than it answers.
      this.#reading ??= this.#read()
        .catch(onError)
        .finally(() => {
          this.#reading = undefined;
        });
    });
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#reading;
  }

  /** `startsPerSecond`: what the ceilings of the pool admit of such calls; 0 when it has none. */
  gauge(id: PoolId, tenant: string, startsPerSecond: number, model: string): PoolGauge {
    const pool = this.#pools.get(nameOf(id));
    if (!pool) return noGauge;
    const { heldMs, isOpen } = heldOf(pool);
    // Lanes take turns: before a call of this tenant each of the others has as many as it has itself.
    const ahead = Math.min(pool.waiting, ((pool.depths[tenant] ?? 0) + 1) * Math.max(1, pool.lanes) - 1);
    const pace = startsPerSecond > 0 ? startsPerSecond : this.#paceOf(id, model);
    const free = this.#concurrencyOf(id) - pool.inHand;
    const behind = startsPerSecond > 0 ? ahead : Math.max(0, ahead + 1 - free);
    return {
      waitMs: Math.max(heldMs, (behind * 1_000) / pace),
      depth: pool.waiting,
      isOpen,
      isHeld: heldMs > 0,
    };
  }

  /**
   * Whether a call should go to a pool that is left alone, because it is time for a probe and no call waits there that
   * could be it: true once per reading, so that one call finds out and the others need not.
   */
  takeProbe(id: PoolId): boolean {
    const pool = this.#pools.get(nameOf(id));
    if (!pool || pool.waiting > 0 || heldOf(pool).heldMs > 0 || this.#probed.has(nameOf(id))) return false;
    this.#probed.add(nameOf(id));
    return true;
  }

  /** Undefined when the model has not answered of late. */
  latencyMs(provider: string, model: string): number | undefined {
    return this.#latencies.get(`${provider}/${model}`);
  }

  #concurrencyOf({ provider, pool }: PoolId): number {
    return this.#options.settings.providers[provider]?.pools[pool]?.concurrency ?? 1;
  }

  #paceOf(id: PoolId, model: string): number {
    return (this.#concurrencyOf(id) * 1_000) / (this.latencyMs(id.provider, model) ?? usualMs);
  }

  async #read(): Promise<void> {
    const { wanted, queues, redis } = this.#options;
    const names = new Set(wanted.pools.map(nameOf));
    for (const name of this.#pools.keys()) if (!names.has(name)) this.#pools.delete(name);
    await Promise.all(
      wanted.pools.map(async (id) => {
        const pool = await queues.of(id)?.explainAll();
        if (!pool) return;
        this.#pools.set(nameOf(id), pool);
        this.#probed.delete(nameOf(id));
      }),
    );
    if (wanted.latencies) this.#latencies = await readLatencies(redis);
  }
}
