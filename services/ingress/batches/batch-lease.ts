import type { BatchRecord, BatchStatus } from '#shared/batches/batch-record.ts';
import type { BatchKey, BatchStore } from '#shared/batches/batch-store.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import type { UnrunCode } from './line-result.ts';

export interface BatchLeaseOptions {
  key: BatchKey;
  batches: BatchStore;
  clock: Clock;
  leaseMs: number;
  beatMs: number;
  /** Set when no line may begin any more, whatever the record says. */
  unrun?: UnrunCode | undefined;
  onError: (error: unknown) => void;
}

/**
 * The right to drive one batch: renewed with every beat, which also tells what callers want and what time it is. `lost`
 * aborts when another process has it, or when renewing failed for as long as the lease lasts.
 */
export class BatchLease {
  readonly key: BatchKey;
  readonly #options: BatchLeaseOptions;
  readonly #lost = new AbortController();
  readonly #winding = new AbortController();
  #status: BatchStatus;
  #expiresMs: number;
  #nowMs: number;
  #heardAtMs: number;
  #timer: Timer | undefined;
  #beating = false;

  constructor(options: BatchLeaseOptions, batch: BatchRecord, nowMs: number) {
    this.key = options.key;
    this.#options = options;
    this.#status = batch.status;
    this.#expiresMs = batch.atMs.expires!;
    this.#nowMs = nowMs;
    this.#heardAtMs = options.clock.monotonicMs();
    this.#timer = options.clock.every(options.beatMs, () => void this.beat());
    this.#wind();
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Aborts when no further line is to begin: the batch was cancelled, or its time is over. */
  get winding(): AbortSignal {
    return this.#winding.signal;
  }

  get unrun(): UnrunCode | undefined {
    if (this.#status === 'cancelling') return 'batch_cancelled';
    if (this.#options.unrun) return this.#options.unrun;
    return this.nowMs() >= this.#expiresMs ? 'batch_expired' : undefined;
  }

  /** Redis' time, as far as it is known here. */
  nowMs(): number {
    return this.#nowMs + this.#options.clock.monotonicMs() - this.#heardAtMs;
  }

  async beat(): Promise<void> {
    if (this.#beating) return;
    this.#beating = true;
    const { batches, leaseMs, clock, onError } = this.#options;
    try {
      const held = await batches.hold(this.key, leaseMs);
      if (!held) return this.#lose();
      this.#status = held.status;
      this.#nowMs = held.nowMs;
      this.#heardAtMs = clock.monotonicMs();
      this.#wind();
      await batches.lookIn(this.key.tenant, this.key.id, leaseMs);
    } catch (error) {
      onError(error);
      if (clock.monotonicMs() - this.#heardAtMs > leaseMs) this.#lose();
    } finally {
      this.#beating = false;
    }
  }

  #wind(): void {
    if (this.unrun) this.#winding.abort();
  }

  #lose(): void {
    this.#timer?.cancel();
    this.#lost.abort();
    this.#winding.abort();
  }

  /** Stops renewing; whatever was under way must not go on. */
  end(): void {
    this.#lose();
  }
}
