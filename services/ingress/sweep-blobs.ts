import type { Settings } from '#config/schema.ts';
import type { BatchStore } from '#shared/batches/batch-store.ts';
import type { FileStore } from '#shared/batches/file-store.ts';
import { type BlobKind, type BlobStore, blobKinds } from '#shared/blobs/blob-store.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { removeBytes } from './batches/file-bytes.ts';
import { isPiece } from './batches/pieces.ts';
import type { ResponseCache } from './cache/response-cache.ts';

export interface SweepBlobsParts {
  ingressId: string;
  /** As of now. */
  readonly settings: Settings;
  redis: RedisConnection;
  files: FileStore;
  batches: BatchStore;
  jobs: JobStore;
  blobs: BlobStore;
  cache: Pick<ResponseCache, 'holds'>;
  clock: Clock;
}

const leasePeriods = 3;
/** Batches of ended answers one sweep removes per tenant. */
const roundsMax = 20;
/** An answer whose job has not ended after all is looked at again after this long. */
const notedAgainMs = 3_600_000;

/** Removes files whose time has come, and blobs that no record names; one process does it for all. */
export class BlobSweeper implements Service {
  readonly name = 'blob sweeper';
  readonly #parts: SweepBlobsParts;
  readonly #onError: (error: unknown) => void;
  readonly #stop = new AbortController();
  /** Walks through the blobs of a tenant and kind that go on where the sweep before stopped. */
  readonly #walks = new Map<string, ReturnType<BlobStore['list']>>();
  #loop: Promise<void> | undefined;

  constructor(parts: SweepBlobsParts, onError: (error: unknown) => void) {
    this.#parts = parts;
    this.#onError = onError;
  }

  async start(): Promise<void> {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    for (const walk of this.#walks.values()) await walk.return();
  }

  async #run(): Promise<void> {
    const { clock } = this.#parts;
    for (;;) {
      await clock.sleep(this.#parts.settings.files.sweep_ms, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      await this.#sweep().catch(this.#onError);
    }
  }

  async #sweep(): Promise<void> {
    const { settings, blobs, clock } = this.#parts;
    if (!(await this.#takeLease())) return;
    const oldMs = clock.nowMs() - settings.files.orphan_seconds * 1_000;
    await blobs.clearUnfinished(oldMs);
    for (const tenant of Object.keys(settings.customers)) {
      if (this.#stop.signal.aborted) return;
      await this.#dropExpired(tenant);
      await this.#dropEnded(tenant);
      for (const kind of blobKinds) await this.#dropOrphans(tenant, kind, oldMs);
    }
  }

  async #takeLease(): Promise<boolean> {
    const { redis, ingressId, settings } = this.#parts;
    const key = keys.blobSweepLease();
    const holdMs = settings.files.sweep_ms * leasePeriods;
    if ((await redis.set(key, ingressId, 'PX', holdMs, 'NX')) === 'OK') return true;
    if ((await redis.get(key)) !== ingressId) return false;
    await redis.pexpire(key, holdMs);
    return true;
  }

  async #dropExpired(tenant: string): Promise<void> {
    const { files, settings } = this.#parts;
    for (const id of await files.expired(tenant, settings.files.sweep_batch)) {
      const file = await files.view(tenant, id);
      const answer = await files.drop(tenant, id, true);
      if (file && answer === 'dropped') await removeBytes(this.#parts, file);
    }
  }

  /** Large answers end with the records that name them. */
  async #dropEnded(tenant: string): Promise<void> {
    const { jobs, settings } = this.#parts;
    const { bodies } = jobs;
    for (let round = 0; round < roundsMax && !this.#stop.signal.aborted; round++) {
      const names = await bodies.ended(tenant, settings.files.sweep_batch);
      for (const name of names) {
        const neededMs = await bodies.neededMs(tenant, name);
        if (neededMs > 0) {
          await bodies.noteEnd(tenant, name, Math.min(neededMs, notedAgainMs));
          continue;
        }
        await bodies.remove(tenant, name);
        await bodies.forgetExpiry(tenant, name);
      }
      if (names.length < settings.files.sweep_batch) return;
    }
  }

  /** A blob is written before its record and removed after it, so an old one without a record belongs to nobody. */
  async #dropOrphans(tenant: string, kind: BlobKind, oldMs: number): Promise<void> {
    const { blobs, settings } = this.#parts;
    const place = `${tenant}/${kind}`;
    const walk = this.#walks.get(place) ?? blobs.list(tenant, kind, '');
    this.#walks.set(place, walk);
    for (let looked = 0; looked < settings.files.sweep_batch; looked++) {
      const { value: blob } = await walk.next();
      if (!blob) return void this.#walks.delete(place);
      const { name } = blob;
      if (blob.modifiedMs < oldMs && !(await this.#isKnown(tenant, kind, name)))
        await blobs.remove({ tenant, kind, name });
    }
  }

  async #isKnown(tenant: string, kind: BlobKind, name: string): Promise<boolean> {
    switch (kind) {
      case 'files':
        return (await this.#parts.files.view(tenant, name)) !== undefined;
      case 'batches':
        return isPiece(this.#parts, tenant, name);
      case 'payloads':
        return (
          (await this.#parts.jobs.bodies.neededMs(tenant, name)) > 0 || this.#parts.cache.holds(tenant, name)
        );
    }
  }
}
