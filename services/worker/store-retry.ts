import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

export interface StoreRetryOptions {
  clock: Clock;
  metrics: Metrics;
  /** How long to go on. */
  maxMs: number;
}

const passingErrors: ReadonlySet<string> = new Set(['store_unavailable', 'blobs_unavailable']);
const firstPauseMs = 50;
const longestPauseMs = 2_000;

/**
 * Asks the store again until it answers: for steps that may be sent twice without harm and must not be lost. A lease
 * that was granted in a lost reply, or one that is not given back, would count as a crash of its worker.
 */
export class StoreRetry {
  readonly #options: StoreRetryOptions;

  constructor(options: StoreRetryOptions) {
    this.#options = options;
  }

  /** @throws what `step` throws, when it does not pass by itself or has not passed after `maxMs` */
  async run<T>(step: () => Promise<T>): Promise<T> {
    const { clock, metrics, maxMs } = this.#options;
    const giveUpAt = clock.monotonicMs() + maxMs;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        return await step();
      } catch (error) {
        const passing = error instanceof SluiceError && passingErrors.has(error.code);
        if (!passing || clock.monotonicMs() > giveUpAt) throw error;
        metrics.settleRetries.inc();
        await clock.sleep(pauseMs);
      }
    }
  }
}
