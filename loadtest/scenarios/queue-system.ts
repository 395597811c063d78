import type { Children } from '../cluster/children.ts';
import type { Provider } from '../cluster/provider.ts';
import type { DrainPlan } from './drain-plan.ts';

/** Which job is whose, and since when it waits. */
export class Ledger {
  readonly accepted = new Map<string, { tenant: string; atMs: number }>();
  readonly #submitted = new Map<number, number>();

  add(job: string, tenant: string, atMs: number): void {
    this.accepted.set(job, { tenant, atMs });
  }

  tenantOf(job: string): string | undefined {
    return this.accepted.get(job)?.tenant;
  }

  /** Numbers of the next `count` calls of a tenant, so that no call is made twice. */
  take(tenant: number, count: number): { from: number; to: number } {
    const from = this.#submitted.get(tenant) ?? 0;
    this.#submitted.set(tenant, from + count);
    return { from, to: from + count };
  }
}

export interface SystemParts {
  children: Children;
  plan: DrainPlan;
  provider: Provider;
  ledger: Ledger;
}

/** Whatever stands between a backlog and the provider: Sluice, or what it is compared with. */
export interface QueueSystem {
  /** Adds calls to a tenant's backlog (its number in the plan) and enters them in the ledger. */
  submit(tenant: number, count: number): Promise<void>;
  startWorkers(): Promise<void>;
  /** Ends all of its processes. */
  end(): Promise<void>;
}
