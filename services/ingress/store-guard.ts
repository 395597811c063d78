import type { Clock, Timer } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { memoryUsedPercent } from '#shared/redis/server-rules.ts';

const sampleMs = 1_000;
const retryAfterMs = 5_000;

/**
 * Refuses new calls while Redis is nearly full. At its limit Redis refuses adds, renewals and recoveries alike; the
 * last quarter is kept for jobs that are under way.
 */
export class StoreGuard implements Service {
  readonly name = 'store guard';
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #maxPercent: number;
  #usedPercent = 0;
  #timer: Timer | undefined;

  constructor(redis: RedisConnection, clock: Clock, maxPercent: number) {
    this.#redis = redis;
    this.#clock = clock;
    this.#maxPercent = maxPercent;
  }

  async start(): Promise<void> {
    await this.sample();
    this.#timer = this.#clock.every(sampleMs, () => void this.sample().catch(() => undefined));
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
  }

  async sample(): Promise<void> {
    this.#usedPercent = await memoryUsedPercent(this.#redis);
  }

  /** @throws SluiceError store_full */
  refuseWhenFull(): void {
    if (this.#usedPercent >= this.#maxPercent) throw new SluiceError('store_full', { retryAfterMs });
  }
}
