import type { Clock } from './clock.ts';

/** Something long-lived: `start` resolves when it is usable, `stop` when nothing of it is left running. */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface LifecycleOptions {
  clock: Clock;
  /** Milliseconds each service may take to stop before it is given up. */
  stopTimeoutMs: number;
  onStopError: (serviceName: string, error: unknown) => void;
}

/**
 * Starts services in order and stops them in reverse. If one fails to start, those already started are stopped and
 * the error is thrown on. `stop` is idempotent and always ends: a service that hangs is reported and left behind.
 */
export class Lifecycle {
  readonly #started: Service[] = [];
  readonly #options: LifecycleOptions;
  #stopping: Promise<void> | undefined;

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  async start(services: readonly Service[]): Promise<void> {
    for (const service of services) {
      try {
        await service.start();
        this.#started.push(service);
      } catch (error) {
        await this.stop();
        throw error;
      }
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    for (const service of this.#started.toReversed()) {
      const giveUp = new AbortController();
      const timedOut = this.#options.clock.sleep(this.#options.stopTimeoutMs, giveUp.signal).then(() => {
        if (!giveUp.signal.aborted) throw new Error(`still running after ${this.#options.stopTimeoutMs} ms`);
      });
      try {
        await Promise.race([service.stop(), timedOut]);
      } catch (error) {
        this.#options.onStopError(service.name, error);
      } finally {
        giveUp.abort();
        await timedOut.catch(() => undefined);
      }
    }
  }
}
