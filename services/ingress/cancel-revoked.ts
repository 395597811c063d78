import type { CallAxes } from '#shared/contracts/job.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import type { CancelledKeys } from '#shared/tenants/cancelled-keys.ts';
import { cancelJob } from './cancel-job.ts';
import type { IngressParts } from './ingress-parts.ts';

type Parts = Pick<IngressParts, 'batches' | 'jobs' | 'redis' | 'settings' | 'queueOf' | 'clock'>;
type Key = ReturnType<CancelledKeys['all']>[number];

/** When to look, after a key was revoked: calls may still have been on their way in. Milliseconds. */
const looksMs = [0, 2_000, 30_000];
const pageSize = 500;
const cancelledTogether = 50;

/**
 * Cancels what a revoked or removed key has under way, if its `on_revoke` says so: waiting and running calls, and batches.
 * Every ingress does, so that it is done whichever of them lives; cancelling twice changes nothing. With many calls this
 * takes its time: what begins meanwhile is ended by its worker, which knows these keys too.
 */
export class RevokedKeys implements Service {
  readonly name = 'revoked keys';
  readonly #parts: Parts;
  readonly #cancelled: CancelledKeys;
  readonly #onError: (error: unknown) => void;
  readonly #stopped = new AbortController();
  readonly #done = new Set<string>();
  #work: Promise<unknown> = Promise.resolve();
  #unwatch: () => void = () => undefined;

  constructor(parts: Parts, cancelled: CancelledKeys, onError: (error: unknown) => void) {
    this.#parts = parts;
    this.#cancelled = cancelled;
    this.#onError = onError;
  }

  async start(): Promise<void> {
    this.#unwatch = this.#cancelled.subscribe(() => this.#look());
    this.#look();
  }

  async stop(): Promise<void> {
    this.#unwatch();
    this.#stopped.abort();
    await this.#work;
  }

  #look(): void {
    const toCancel = this.#cancelled.all();
    const names = new Set(toCancel.map(nameOf));
    // A key that is made valid again may be revoked again.
    for (const name of this.#done) if (!names.has(name)) this.#done.delete(name);
    const fresh = toCancel.filter((key) => !this.#done.has(nameOf(key)));
    for (const key of fresh) this.#done.add(nameOf(key));
    if (fresh.length > 0) this.#work = Promise.all([this.#work, this.#cancelAll(fresh)]);
  }

  async #cancelAll(revoked: readonly Key[]): Promise<void> {
    const byTenant = Map.groupBy(revoked, ({ tenant }) => tenant);
    let passedMs = 0;
    for (const atMs of looksMs) {
      await this.#parts.clock.sleep(atMs - passedMs, this.#stopped.signal);
      passedMs = atMs;
      for (const [tenant, keysOf] of byTenant) {
        if (this.#stopped.signal.aborted) return;
        const keyIds = new Set(keysOf.map(({ keyId }) => keyId));
        await cancelBatches(this.#parts, tenant, keyIds).catch(this.#onError);
        await cancelCalls(this.#parts, tenant, keyIds, this.#stopped.signal).catch(this.#onError);
      }
    }
  }
}

const nameOf = ({ tenant, keyId }: Key) => `${tenant} ${keyId}`;

async function cancelBatches(
  { batches, redis }: Parts,
  tenant: string,
  keyIds: ReadonlySet<string>,
): Promise<void> {
  const open = await redis.smembers(keys.openBatches(tenant)).catch((error: unknown) => {
    throw storeError(error);
  });
  for (const id of open) {
    const batch = await batches.view(tenant, id);
    if (batch && keyIds.has(batch.axes.key)) await batches.cancel(tenant, id);
  }
}

/** Looks through the unfinished jobs of the tenant, page by page; what ends leaves the pages to come. */
async function cancelCalls(
  parts: Parts,
  tenant: string,
  keyIds: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  for (let from = 0; !signal.aborted; ) {
    const page = await parts.redis.zrange(keys.open(tenant), from, String(from + pageSize - 1));
    if (page.length === 0) return;
    const made = await Promise.all(page.map((jobId) => parts.redis.hget(keys.job(tenant, jobId), 'axes')));
    const own = page.filter((_jobId, index) => keyIds.has(keyOf(made[index] ?? null)));
    let ended = 0;
    for (let at = 0; at < own.length; at += cancelledTogether) {
      const some = own.slice(at, at + cancelledTogether);
      const states = await Promise.all(
        some.map((jobId) => cancelJob(parts, tenant, jobId).catch(() => 'gone')),
      );
      ended += states.filter((state) => state === 'cancelled').length;
    }
    from += page.length - ended;
  }
}

const keyOf = (axes: string | null) => (axes ? (JSON.parse(axes) as CallAxes).key : '');
