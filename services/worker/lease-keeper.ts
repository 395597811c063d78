import type { JobStore } from '#shared/jobs/job-store.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

interface Lease {
  tenant: string;
  jobId: string;
  token: string;
  /** Whose call it is, as its record says. */
  axesText: string;
  abort: AbortController;
}

export interface LeaseKeeperOptions {
  workerId: string;
  jobs: JobStore;
  /** Connection whose reconnections start the take-over grace. */
  redis: RedisConnection;
  /** Connection of its own, for messages about cancelled jobs. */
  subscriber: RedisConnection;
  clock: Clock;
  beatMs: number;
  graceMs: number;
  onError: (error: unknown) => void;
}

/**
 * Keeps the leases of all jobs this worker runs: renews them together every beat and at once after a reconnection,
 * and aborts a job's request when it was cancelled. A request whose lease is lost goes on: it is paid for already, and
 * its answer counts if it comes first, or is recorded as wasted.
 */
export class LeaseKeeper implements Service {
  readonly name = 'lease keeper';
  readonly #options: LeaseKeeperOptions;
  readonly #leases = new Map<string, Lease>();
  #timer: Timer | undefined;
  #readySinceMs: number;
  readonly #onReady = () => {
    this.#readySinceMs = this.#options.clock.monotonicMs();
    void this.#beat();
  };

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#readySinceMs = options.clock.monotonicMs();
  }

  async start(): Promise<void> {
    const { redis, subscriber, workerId, clock, beatMs } = this.#options;
    redis.on('ready', this.#onReady);
    this.#timer = clock.every(beatMs, () => void this.#beat());
    const own = keys.workerChannel(workerId);
    subscriber.on('message', (channel, message: string) => {
      if (channel === own) this.#cancel(message.split(' ')[1] ?? '');
    });
    await subscriber.subscribe(own);
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#options.redis.off('ready', this.#onReady);
    this.#options.subscriber.disconnect();
  }

  /**
   * Whether expired leases of others may be taken over: not soon after this worker (re)connected, because living
   * owners that lost Redis at the same time need a moment to renew.
   */
  get mayTakeOver(): boolean {
    return this.#options.clock.monotonicMs() - this.#readySinceMs >= this.#options.graceMs;
  }

  /** Starts renewing a lease that `begin` granted. The signal aborts when the job is cancelled. */
  hold(tenant: string, jobId: string, token: string, axesText: string): AbortSignal {
    const abort = new AbortController();
    this.#leases.set(jobId, { tenant, jobId, token, axesText, abort });
    return abort.signal;
  }

  /** The jobs that run here. */
  held(): Pick<Lease, 'tenant' | 'jobId' | 'axesText'>[] {
    return [...this.#leases.values()];
  }

  release(jobId: string, token: string): void {
    if (this.#leases.get(jobId)?.token === token) this.#leases.delete(jobId);
  }

  #cancel(jobId: string): void {
    this.#leases.get(jobId)?.abort.abort('cancelled');
  }

  async #beat(): Promise<void> {
    try {
      await Promise.all([...this.#leases.values()].map((lease) => this.#renew(lease)));
    } catch (error) {
      this.#options.onError(error);
    }
  }

  async #renew({ tenant, jobId, token }: Lease): Promise<void> {
    const answer = await this.#options.jobs.heartbeat(tenant, jobId, token);
    if (answer === 'cancel' && this.#leases.get(jobId)?.token === token) this.#cancel(jobId);
    if (answer === 'lost') this.release(jobId, token);
  }
}
