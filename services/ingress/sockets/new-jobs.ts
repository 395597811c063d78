import { newestJob } from '#shared/jobs/job-list.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';

interface Watched {
  watchers: number;
  newest: string | undefined;
  /** The moment of the newest job was perhaps not over when its watchers were told. */
  again: boolean;
  waiting: Set<() => void>;
}

/** Tells sockets that a tenant has new jobs: one look per tenant and period, however many sockets follow them all. */
export class NewJobs {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #onError: (error: unknown) => void;
  readonly #tenants = new Map<string, Watched>();
  #timer: Timer | undefined;

  constructor(redis: RedisConnection, clock: Clock, everyMs: number, onError: (error: unknown) => void) {
    this.#redis = redis;
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#onError = onError;
  }

  /** Somebody follows the tenant's jobs, until the returned function is called. */
  enter(tenant: string): () => void {
    const watched = this.#tenants.get(tenant) ?? {
      watchers: 0,
      newest: undefined,
      again: true,
      waiting: new Set(),
    };
    this.#tenants.set(tenant, watched);
    watched.watchers++;
    this.#timer ??= this.#clock.every(this.#everyMs, () => this.#look());
    return () => {
      if (--watched.watchers > 0) return;
      this.#tenants.delete(tenant);
      if (this.#tenants.size > 0) return;
      this.#timer?.cancel();
      this.#timer = undefined;
    };
  }

  /** Resolves when the tenant may have new jobs, or `signal` aborts. */
  async news(tenant: string, signal: AbortSignal): Promise<void> {
    const waiting = this.#tenants.get(tenant)?.waiting;
    if (!waiting || signal.aborted) return;
    const told = Promise.withResolvers<void>();
    const tell = () => told.resolve();
    waiting.add(tell);
    signal.addEventListener('abort', tell, { once: true });
    await told.promise;
    waiting.delete(tell);
    signal.removeEventListener('abort', tell);
  }

  #look(): void {
    for (const [tenant, watched] of this.#tenants)
      if (watched.waiting.size > 0) this.#lookAt(tenant, watched).catch(this.#onError);
  }

  async #lookAt(tenant: string, watched: Watched): Promise<void> {
    const newest = await newestJob(this.#redis, tenant);
    const changed = newest !== watched.newest;
    if (changed || watched.again) for (const tell of watched.waiting) tell();
    watched.newest = newest;
    watched.again = changed;
  }
}
