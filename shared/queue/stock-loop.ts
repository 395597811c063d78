import { DelayedError, type Job, Worker } from 'bullmq';
import { ticketSchema } from '#shared/contracts/ticket.ts';
import { bullOptions, keepNothing } from './pool-queue.ts';
import { retryThrownMs, type TicketWorker, type TicketWorkerOptions, type Verdict } from './ticket-worker.ts';

/** BullMQ's own Worker, one ticket per round trip. */
export class StockLoop implements TicketWorker {
  readonly name: string;
  readonly #options: TicketWorkerOptions;
  #worker: Worker | undefined;
  #active = 0;

  constructor(options: TicketWorkerOptions) {
    this.#options = options;
    this.name = `worker ${options.id.provider}/${options.id.pool}`;
  }

  get active(): number {
    return this.#active;
  }

  async start(): Promise<void> {
    const { id, connection, telemetry, concurrency, settings, onError } = this.#options;
    this.#worker = new Worker(id.pool, (job, token) => this.#process(job, token!), {
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
    });
    this.#worker.on('error', onError);
    await this.#worker.waitUntilReady();
  }

  /** Claims nothing more and waits for the tickets in hand, no longer than `drain_ms`. */
  async stop(): Promise<void> {
    const drained = new AbortController();
    const { clock, settings } = this.#options;
    const closed = this.#worker?.close().finally(() => drained.abort());
    await Promise.race([closed, clock.sleep(settings.drain_ms, drained.signal)]);
    if (!drained.signal.aborted) await this.#worker?.getBackend().disconnect();
  }

  async #process(job: Job, token: string): Promise<'ok'> {
    this.#active++;
    try {
      const verdict = await this.#verdictOf(job, token);
      if (verdict.kind === 'done') return 'ok';
      await job.moveToDelayed(this.#options.clock.nowMs() + verdict.delayMs, token);
      throw new DelayedError();
    } finally {
      this.#active--;
    }
  }

  async #verdictOf(job: Job, token: string): Promise<Verdict> {
    try {
      const ticket = ticketSchema.parse(job.data);
      return await this.#options.handle({ ticket, token, traceMetadata: job.opts.telemetry?.metadata });
    } catch (error) {
      this.#options.onError(error);
      return { kind: 'later', delayMs: retryThrownMs };
    }
  }
}
