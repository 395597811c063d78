import type { Settings } from '#config/schema.ts';
import type { JobBodies } from '#shared/jobs/job-bodies.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { StoreRetry } from './store-retry.ts';

export interface StoredBodiesOptions {
  bodies: JobBodies;
  settings: Settings['payloads'];
  clock: Clock;
  /** For answers that are too large for the store of records: as long as a finished answer is worth. */
  storeRetry: StoreRetry;
}

const pauseMs = 200;
const isAway = (error: unknown) => error instanceof SluiceError && error.code === 'blobs_unavailable';

/** Large bodies on their way through a worker. A blob store that is away is asked again, within bounds. */
export class StoredBodies {
  readonly #options: StoredBodiesOptions;

  constructor(options: StoredBodiesOptions) {
    this.#options = options;
  }

  /** A request that is kept outside of its record; `away` when it cannot be had now, `gone` when it never will be. */
  async request(tenant: string, name: string): Promise<{ body: string } | 'away' | 'gone'> {
    try {
      const bytes = await this.#insist(() => this.#options.bodies.read(tenant, name));
      return bytes ? { body: bytes.toString() } : 'gone';
    } catch (error) {
      if (isAway(error)) return 'away';
      throw error;
    }
  }

  /**
   * Keeps an answer that is too large for its record; returns its name, or undefined when it belongs into the record
   * after all: because it is small, or because it is paid for and there is no other place.
   */
  async keepAnswer(tenant: string, jobId: string, body: Buffer): Promise<string | undefined> {
    const { bodies, settings, storeRetry } = this.#options;
    const keep = () => bodies.keep(tenant, jobId, 'result', body);
    try {
      return await this.#insist(keep);
    } catch (error) {
      if (!isAway(error)) throw error;
      return body.length <= settings.fallback_max_bytes ? undefined : storeRetry.run(keep);
    }
  }

  async #insist<T>(step: () => Promise<T>): Promise<T> {
    const { clock, settings } = this.#options;
    const giveUpAt = clock.monotonicMs() + settings.store_wait_ms;
    for (;;) {
      try {
        return await this.#within(giveUpAt - clock.monotonicMs(), step());
      } catch (error) {
        if (!isAway(error) || clock.monotonicMs() + pauseMs > giveUpAt) throw error;
        await clock.sleep(pauseMs);
      }
    }
  }

  /** A store that hangs must not outlast the lease of the job. */
  async #within<T>(maxMs: number, step: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = this.#options.clock.after(maxMs, () => late.reject(new SluiceError('blobs_unavailable')));
    try {
      return await Promise.race([step, late.promise]);
    } finally {
      timer.cancel();
      step.catch(() => undefined);
    }
  }
}
