import { DelayedError, type Job, WaitingError, Worker } from 'bullmq';
import { createFairBackend } from './fair/create-fair-backend.ts';
import type { FairQueueBackend } from './fair/fair-backend.ts';
import type { Usage } from './fair/ticket-place.ts';
import { bullOptions, keepNothing } from './pool-queue.ts';
import { type TicketWorker, type TicketWorkerOptions, verdictOf } from './ticket-worker.ts';

/** BullMQ's own Worker, one ticket per round trip. */
export class StockLoop implements TicketWorker {
  readonly name: string;
  readonly #options: TicketWorkerOptions;
  #worker: Worker<unknown, 'ok' | Usage, string, FairQueueBackend> | undefined;
  #active = 0;

  constructor(options: TicketWorkerOptions) {
    this.#options = options;
    this.name = `worker ${options.id.provider}/${options.id.pool}`;
  }

  get active(): number {
    return this.#active;
  }

  resize(concurrency: number): void {
    if (this.#worker) this.#worker.concurrency = concurrency;
  }

  async start(): Promise<void> {
    const { id, connection, telemetry, concurrency, settings, clock, onError } = this.#options;
    const options = {
      ...bullOptions(id, connection, telemetry),
      concurrency,
      // Written to every ticket it takes; tells a dead worker's tickets from others.
      name: this.#options.workerId,
      lockDuration: settings.lock_ms,
      stalledInterval: settings.stalled_check_ms,
      // The lease of the record tells a dead worker from a slow one; BullMQ's own count would fail the ticket.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      removeOnComplete: keepNothing,
      removeOnFail: keepNothing,
    };
    const process = (job: Job, token?: string) => this.#process(job, token!);
    this.#worker = new Worker(
      id.pool,
      process,
      options,
      createFairBackend({ clock, events: false, onWait: this.#options.onWait }),
    );
    this.#worker.on('error', onError);
    await this.#worker.waitUntilReady();
  }

  async stop(drainMs = this.#options.settings.drain_ms): Promise<void> {
    const drained = new AbortController();
    const closed = this.#worker?.close().finally(() => drained.abort());
    await Promise.race([closed, this.#options.clock.sleep(drainMs, drained.signal)]);
    if (!drained.signal.aborted) await this.#worker?.getBackend().disconnect();
  }

  async #process(job: Job, token: string): Promise<'ok' | Usage> {
    this.#active++;
    try {
      const backend = this.#worker!.getBackend();
      const verdict = await verdictOf(this.#options, job, { token, grant: backend.grantOf(job.id!)! });
      backend.noteUnused(job.id!, verdict.unused);
      if (verdict.kind === 'done') return verdict.usage ?? 'ok';
      if (verdict.kind === 'back') {
        await job.moveToWait(token);
        throw new WaitingError();
      }
      await job.moveToDelayed(this.#options.clock.nowMs() + verdict.delayMs, token);
      throw new DelayedError();
    } finally {
      this.#active--;
    }
  }
}
