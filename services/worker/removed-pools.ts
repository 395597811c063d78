import { isDeepStrictEqual } from 'node:util';
import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { configuredPools, redisNowMs } from './worker-register.ts';

const poolsAtOnce = 20;

/**
 * Which pools have been removed: no worker has had them in its configuration for `jobs.pool_gone_ms`. While a changed
 * configuration reaches one process after the other, and while workers start, a pool that some of them do not know is
 * not removed yet; so this process's own configuration must be that old, too.
 */
export class RemovedPools {
  readonly #live: Live<Settings>;
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  #configured: ReadonlySet<string>;
  #sinceMs: number;

  constructor(live: Live<Settings>, redis: RedisConnection, clock: Clock) {
    this.#live = live;
    this.#redis = redis;
    this.#clock = clock;
    this.#configured = new Set(configuredPools(live.current));
    this.#sinceMs = clock.monotonicMs();
    live.subscribe((settings) => this.#take(new Set(configuredPools(settings))));
  }

  isConfigured({ provider, pool }: PoolId): boolean {
    return this.#configured.has(`${provider}/${pool}`);
  }

  /** Some of the removed pools that may still hold tickets. */
  async find(): Promise<PoolId[]> {
    if (this.#isTooEarly()) return [];
    const latestMs = (await redisNowMs(this.#redis)) - this.#goneMs;
    const seen = await this.#redis.zrangebyscore(keys.poolsSeen(), 0, latestMs, 'LIMIT', 0, poolsAtOnce);
    return seen.map(parsePool).filter((id) => !this.isConfigured(id));
  }

  /** Whether the pool of a job that was accepted at `createdMs` has been removed. */
  async has(id: PoolId, createdMs: number): Promise<boolean> {
    if (this.isConfigured(id) || this.#isTooEarly()) return false;
    const seenMs = Number((await this.#redis.zscore(keys.poolsSeen(), `${id.provider}/${id.pool}`)) ?? 0);
    return Math.max(seenMs, createdMs) <= (await redisNowMs(this.#redis)) - this.#goneMs;
  }

  async forget({ provider, pool }: PoolId): Promise<void> {
    await this.#redis.zrem(keys.poolsSeen(), `${provider}/${pool}`);
  }

  get #goneMs(): number {
    return this.#live.current.jobs.pool_gone_ms;
  }

  #isTooEarly(): boolean {
    return this.#clock.monotonicMs() - this.#sinceMs < this.#goneMs;
  }

  #take(configured: ReadonlySet<string>): void {
    if (isDeepStrictEqual(configured, this.#configured)) return;
    this.#configured = configured;
    this.#sinceMs = this.#clock.monotonicMs();
  }
}

function parsePool(name: string): PoolId {
  const [provider, pool] = name.split('/');
  return { provider: provider!, pool: pool! };
}
