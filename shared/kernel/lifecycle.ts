import type { Clock } from './clock.ts';

/**
 * Something long-lived: `start` resolves when it is usable, `stop` when nothing of it is left running. `stop` may come
 * at any time after `start` was called, also while it is under way or after it failed.
 */
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
 * Starts services in order and stops them in reverse. If one fails to start, it and those before it are stopped and
 * the error is thrown on. `stop` is idempotent and always ends: a service that hangs is reported and left behind.
 * A stop while services start also ends the one that is starting, and no further one is started.
 */
export class Lifecycle {
  readonly #begun: Service[] = [];
  readonly #options: LifecycleOptions;
  #stopping: Promise<void> | undefined;

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  async start(services: readonly Service[]): Promise<void> {
    for (const service of services) {
      try {
        this.#refuseWhenStopping();
        this.#begun.push(service);
        await service.start();
      } catch (error) {
        await this.stop();
        throw error;
      }
    }
    this.#refuseWhenStopping();
  }

  #refuseWhenStopping(): void {
    if (this.#stopping) throw new Error('stopped before everything was started');
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    for (const service of this.#begun.toReversed()) {
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
