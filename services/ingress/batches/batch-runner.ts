import { randomUUID } from 'node:crypto';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { BatchLease } from './batch-lease.ts';
import { driveBatch } from './drive-batch.ts';
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
    const { batches, settings } = this.#parts;
    if (this.#driven.size >= settings.batches.running_max) return;
    for (const { tenant, id } of await batches.toDrive(lookMax)) {
      if (this.#stop.signal.aborted || this.#driven.size >= settings.batches.running_max) return;
      const ofTenant = [...this.#driven.values()].filter((each) => each.tenant === tenant).length;
      if (this.#driven.has(id) || ofTenant >= settings.batches.running_per_tenant_max) continue;
      await this.#claim(tenant, id);
    }
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
    const lease = new BatchLease({ key, batches, clock, leaseMs, beatMs, onError }, batch, detail);
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
}
