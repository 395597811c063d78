import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { FoundJob, JobSource } from './job-sources.ts';

export interface SocketWatchesOptions {
  clock: Clock;
  /** Jobs that the socket may follow beside those that it does. */
  room: () => number;
  follow: (job: FoundJob, watch: string) => Promise<void>;
  /** A source has come to its end by itself. */
  onOver: (over: Record<string, unknown>) => void;
  onError: (error: unknown, watch: string) => void;
}

/** Sources that one socket may follow at once: all jobs of its tenant, and batches. */
const watchesMax = 10;
/** Jobs taken from a source at once. */
const takenTogether = 100;
/** Pause before a socket that follows as many jobs as it may looks again whether one of them has ended. */
const fullPauseMs = 100;

/**
 * Has one socket follow whatever jobs come from its sources. When it follows as many as it may, its sources wait: jobs are
 * followed later, and none is left out.
 */
export class SocketWatches {
  readonly #options: SocketWatchesOptions;
  readonly #watches = new Map<string, AbortController>();

  constructor(options: SocketWatchesOptions) {
    this.#options = options;
  }

  /** @throws SluiceError too_many_subscriptions */
  open(name: string, source: JobSource): void {
    this.close(name);
    if (this.#watches.size >= watchesMax) {
      source.close();
      throw new SluiceError('too_many_subscriptions', { fields: { limit: watchesMax } });
    }
    const over = new AbortController();
    this.#watches.set(name, over);
    void this.#run(name, source, over.signal).finally(() => {
      source.close();
      if (this.#watches.get(name) === over) this.#watches.delete(name);
    });
  }

  has(name: string): boolean {
    return this.#watches.has(name);
  }

  close(name: string): void {
    this.#watches.get(name)?.abort();
    this.#watches.delete(name);
  }

  closeAll(): void {
    for (const name of [...this.#watches.keys()]) this.close(name);
  }

  async #run(name: string, source: JobSource, closed: AbortSignal): Promise<void> {
    const { clock, room, onOver, onError } = this.#options;
    while (!closed.aborted) {
      try {
        const max = Math.min(room(), takenTogether);
        if (max <= 0) {
          await clock.sleep(fullPauseMs, closed);
          continue;
        }
        const { jobs, over } = await source.next(max);
        await Promise.all(jobs.map((job) => this.#follow(job, name, closed)));
        if (closed.aborted) return;
        if (over) return onOver(over);
        if (jobs.length === 0) await source.changed(closed);
      } catch (error) {
        const passes = error instanceof SluiceError && error.code === 'store_unavailable';
        if (!passes) return onError(error, name);
        await source.changed(closed);
      }
    }
  }

  /** A job whose record is gone by now has nothing to tell. */
  async #follow(job: FoundJob, name: string, closed: AbortSignal): Promise<void> {
    if (closed.aborted) return;
    await this.#options.follow(job, name).catch((error: unknown) => {
      if (!(error instanceof SluiceError) || error.code !== 'job_not_found') throw error;
    });
  }
}
