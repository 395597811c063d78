import { randomUUID } from 'node:crypto';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { BatchLease } from './batch-lease.ts';
import { driveBatch, giveUpBatch } from './drive-batch.ts';
import type { DriveParts } from './drive-parts.ts';
import { BatchLost } from './write-lines.ts';

/** Batches looked at in one round. */
const lookMax = 1_000;
/** Pause before a batch is tried again whose driving failed. */
const retryMs = 2_000;

interface Driven {
  tenant: string;
  lease: BatchLease;
  ended: Promise<void>;
}

/** Finds batches that nobody drives, and drives a bounded number of them. */
export class BatchRunner implements Service {
  readonly name = 'batches';
  readonly #parts: DriveParts;
  readonly #stop = new AbortController();
  readonly #driven = new Map<string, Driven>();
  /** Tenants of batches that the configuration does not name, and since when; `monotonicMs`. */
  readonly #missing = new Map<string, number>();
  #loop: Promise<void> | undefined;

  constructor(parts: DriveParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    this.#loop = this.#run();
  }

  /** What is not written yet is left to whoever takes the batches over, at once. */
  async stop(): Promise<void> {
    this.#stop.abort();
    for (const { lease } of this.#driven.values()) lease.end();
    await this.#loop;
    await Promise.all([...this.#driven.values()].map(({ ended }) => ended));
  }

  async #run(): Promise<void> {
    const { clock, settings, onError } = this.#parts;
    while (!this.#stop.signal.aborted) {
      await this.#look().catch(onError);
      await clock.sleep(settings.batches.look_ms, this.#stop.signal);
    }
  }

  async #look(): Promise<void> {
    const { batches, settings, onError } = this.#parts;
    for (const tenant of this.#missing.keys()) if (settings.customers[tenant]) this.#missing.delete(tenant);
    if (this.#driven.size >= settings.batches.running_max) return;
    for (const { tenant, id } of await batches.toDrive(lookMax)) {
      if (this.#stop.signal.aborted || this.#driven.size >= settings.batches.running_max) return;
      const ofTenant = [...this.#driven.values()].filter((each) => each.tenant === tenant).length;
      if (this.#driven.has(id) || ofTenant >= settings.batches.running_per_tenant_max) continue;
      if (this.#mayDrive(tenant)) await this.#claim(tenant, id).catch(onError);
    }
  }

  /** A tenant that is missing may be new, and this process yet to read of it. */
  #mayDrive(tenant: string): boolean {
    const { settings, clock } = this.#parts;
    if (settings.customers[tenant]) return true;
    const sinceMs = this.#missing.get(tenant) ?? clock.monotonicMs();
    this.#missing.set(tenant, sinceMs);
    return clock.monotonicMs() - sinceMs >= settings.batches.tenant_gone_ms;
  }

  async #claim(tenant: string, id: string): Promise<void> {
    const { batches, settings, clock, onError } = this.#parts;
    const key = { tenant, id, token: randomUUID() };
    const [answer, detail] = await batches.claim(key, settings.batches.lease_ms);
    if (answer === 'over' || answer === 'gone') return batches.lookIn(tenant, id, undefined);
    if (answer === 'busy') return batches.lookIn(tenant, id, detail);
    const batch = await batches.view(tenant, id);
    if (!batch) return;
    const { lease_ms: leaseMs, beat_ms: beatMs } = settings.batches;
    const unrun = settings.customers[tenant] ? undefined : ('tenant_removed' as const);
    const lease = new BatchLease({ key, batches, clock, leaseMs, beatMs, unrun, onError }, batch, detail);
    await batches.lookIn(tenant, id, leaseMs);
    const ended = this.#drive(lease, () => driveBatch(this.#parts, lease, batch));
    this.#driven.set(id, { tenant, lease, ended });
  }

  async #drive(lease: BatchLease, drive: () => Promise<void>): Promise<void> {
    const { batches, onError } = this.#parts;
    const { tenant, id } = lease.key;
    let again: number | undefined;
    try {
      await drive();
    } catch (error) {
      if (!(error instanceof BatchLost)) onError(error);
      again = this.#stop.signal.aborted ? 0 : retryMs;
      if (!passes(error) && (await this.#isGivenUp(lease).catch(onError))) again = undefined;
    }
    lease.end();
    try {
      if (again !== undefined) await batches.hold(lease.key, 0);
      await batches.lookIn(tenant, id, again);
    } catch (error) {
      onError(error);
    }
    this.#driven.delete(id);
  }
  /** Counts a failure that will not pass by itself; ends the batch when there were too many. */
  async #isGivenUp(lease: BatchLease): Promise<boolean> {
    const times = await this.#parts.batches.noteFailure(lease.key);
    if (times < this.#parts.settings.batches.failures_max) return false;
    await giveUpBatch(this.#parts, lease, times);
    return true;
  }
}

/** Whether waiting helps: another process drives the batch, a store is away, a tenant is yet to be read of. */
const passes = (error: unknown) =>
  error instanceof BatchLost ||
  (error instanceof SluiceError && (error.entry.retryable || error.code === 'invalid_key'));
