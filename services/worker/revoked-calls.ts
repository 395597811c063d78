import type { CallAxes } from '#shared/contracts/job.ts';
import type { BegunJob, JobStore } from '#shared/jobs/job-store.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { CancelledKeys } from '#shared/tenants/cancelled-keys.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { StoreRetry } from './store-retry.ts';

export interface RevokedCallsOptions {
  cancelledKeys: CancelledKeys;
  jobs: Pick<JobStore, 'requestCancel'>;
  leases: Pick<LeaseKeeper, 'held'>;
  storeRetry: StoreRetry;
  onError: (error: unknown) => void;
}

/**
 * The worker's part in revoking keys with `on_revoke: cancel`: what it runs is cancelled when it hears of it, and what it
 * takes from the queue later is ended instead of being sent, however long the queue is that ingresses clear.
 */
export class RevokedCalls implements Service {
  readonly name = 'revoked calls';
  readonly #options: RevokedCallsOptions;
  #work: Promise<unknown> = Promise.resolve();
  #unsubscribe: () => void = () => undefined;

  constructor(options: RevokedCallsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#unsubscribe = this.#options.cancelledKeys.subscribe(() => {
      this.#work = this.#work.then(() => this.#cancelHeld()).catch(this.#options.onError);
    });
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await this.#work;
  }

  /** Whether the key of a call is among them. Costs one comparison while there are none. */
  has(tenant: string, { axesText }: Pick<BegunJob, 'axesText'>): boolean {
    const { cancelledKeys } = this.#options;
    if (cancelledKeys.isEmpty || axesText === '') return false;
    return cancelledKeys.has(tenant, (JSON.parse(axesText) as CallAxes).key);
  }

  /** Asks that the job be cancelled. False when it goes on, because callers with other keys wait for it too. */
  async cancel(tenant: string, jobId: string): Promise<boolean> {
    const { jobs, storeRetry } = this.#options;
    return (await storeRetry.run(() => jobs.requestCancel(tenant, jobId))) !== 'shared';
  }

  async #cancelHeld(): Promise<void> {
    const calls = this.#options.leases.held().filter((lease) => this.has(lease.tenant, lease));
    await Promise.all(calls.map(({ tenant, jobId }) => this.cancel(tenant, jobId)));
  }
}
