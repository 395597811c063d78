import { createRedisBackend, Job, type JobJson, type MinimalQueue, type RedisQueueBackend } from 'bullmq';
import { ticketSchema } from '#shared/contracts/ticket.ts';
import type { Timer } from '#shared/kernel/clock.ts';
import { bullOptions, keepNothing } from './pool-queue.ts';
import { retryThrownMs, type TicketWorker, type TicketWorkerOptions, type Verdict } from './ticket-worker.ts';

/** Most tickets asked for in one round trip. */
const burstMax = 32;
const idleWaitSeconds = 5;
const shortestWaitSeconds = 0.002;
const pauseAfterErrorMs = 250;

interface Claim {
  jobData: JobJson | undefined;
  jobId: string;
  /** Until then nothing may be claimed, milliseconds from now. */
  limitMs: number;
  /** When the next delayed ticket is due, milliseconds since the epoch; 0 when there is none. */
  dueMs: number;
}

/**
 * Claims several tickets per round trip through BullMQ's own backend operations (moveToActive, moveToCompleted,
 * extendLocks, moveStalledJobsToWait). BullMQ's Worker claims one after the other and is bound by latency; asking
 * for as many as were there last time, up to the free places, doubles the throughput (see ARCHITECTURE.md).
 *
 * claiming ⇄ idle (blocked on BullMQ's marker) ⇄ full (all places taken) → draining → stopped
 */
export class ClaimLoop implements TicketWorker {
  readonly name: string;
  readonly #options: TicketWorkerOptions;
  readonly #held = new Map<string, string>();
  #backend: RedisQueueBackend | undefined;
  #timers: Timer[] = [];
  #loop: Promise<void> | undefined;
  #burst = 1;
  #tokens = 0;
  #stopped = false;
  #wake: () => void = () => undefined;

  constructor(options: TicketWorkerOptions) {
    this.#options = options;
    this.name = `worker ${options.id.provider}/${options.id.pool}`;
  }

  get active(): number {
    return this.#held.size;
  }

  async start(): Promise<void> {
    const { id, connection, settings, clock, onError } = this.#options;
    const options = {
      ...bullOptions(id, connection, undefined),
      // Written to every ticket it takes; tells a dead worker's tickets from others.
      name: this.#options.workerId,
      lockDuration: settings.lock_ms,
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      stalledInterval: settings.stalled_check_ms,
      removeOnComplete: keepNothing,
      removeOnFail: keepNothing,
    };
    this.#backend = createRedisBackend(id.pool, options, { withBlockingConnection: true });
    this.#backend.on('error', onError);
    await this.#backend.waitUntilReady();
    this.#timers = [
      clock.every(settings.lock_ms / 3, () => void this.#renewLocks().catch(onError)),
      clock.every(
        settings.stalled_check_ms,
        () => void this.#backend!.moveStalledJobsToWait().catch(onError),
      ),
    ];
    this.#loop = this.#claimForever();
  }

  /** Claims nothing more, waits for the tickets in hand (no longer than `drain_ms`), and closes. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#backend?.disconnectBlocking(false).catch(() => undefined);
    await this.#loop;
    const pollMs = 20;
    for (let waited = 0; this.#held.size > 0 && waited < this.#options.settings.drain_ms; waited += pollMs) {
      await this.#options.clock.sleep(pollMs);
    }
    for (const timer of this.#timers) timer.cancel();
    await this.#backend?.close(true).catch(() => undefined);
  }

  async #claimForever(): Promise<void> {
    while (!this.#stopped) {
      try {
        const free = this.#options.concurrency - this.#held.size;
        if (free <= 0) await this.#untilPlaceFree();
        else await this.#claimSome(Math.min(free, this.#burst));
      } catch (error) {
        if (this.#stopped) return;
        this.#options.onError(error);
        await this.#options.clock.sleep(pauseAfterErrorMs);
      }
    }
  }

  #untilPlaceFree(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #claimSome(wanted: number): Promise<void> {
    const claims = await Promise.all(Array.from({ length: wanted }, () => this.#claimOne()));
    const got = claims.filter((claim) => claim.jobData).length;
    if (got === wanted) {
      this.#burst = Math.min(this.#burst * 2, burstMax);
      return;
    }
    this.#burst = Math.max(1, got);
    const empty = claims.find((claim) => !claim.jobData)!;
    await this.#idle(empty);
  }

  /** Blocks until BullMQ signals a ticket, a delayed one is due, or the limit ends. */
  async #idle(claim: Claim): Promise<void> {
    const untilDueMs = claim.dueMs > 0 ? claim.dueMs - this.#options.clock.nowMs() : Number.POSITIVE_INFINITY;
    if (claim.limitMs > 0) return this.#options.clock.sleep(claim.limitMs);
    if (untilDueMs <= 0) return;
    const seconds = Math.min(idleWaitSeconds, Math.max(untilDueMs / 1_000, shortestWaitSeconds));
    const marker = await this.#backend!.waitForJob(seconds);
    // The marker of a delayed ticket carries its time; anything else means that something is there now.
    const waitMs = marker ? marker.score - this.#options.clock.nowMs() : 0;
    if (waitMs > 1) await this.#backend!.waitForJob(Math.min(idleWaitSeconds, waitMs / 1_000));
  }

  async #claimOne(): Promise<Claim> {
    const token = `${this.#options.workerId}:${this.#tokens++}`;
    const reply = await this.#backend!.moveToActive(token, this.#options.workerId);
    return this.#startClaimed(reply, token);
  }

  #startClaimed(reply: unknown[], token: string): Claim {
    const [jobData, jobId, limitMs, dueMs] = reply as [JobJson | undefined, string, number, number];
    if (jobData) void this.#run(jobData, jobId, token);
    return { jobData, jobId, limitMs: limitMs ?? 0, dueMs: dueMs ?? 0 };
  }

  async #run(jobData: JobJson, jobId: string, token: string): Promise<void> {
    this.#held.set(jobId, token);
    try {
      const job = Job.fromJSON(
        { opts: {}, toKey: (type: string) => type } as unknown as MinimalQueue,
        jobData,
        jobId,
      );
      await this.#finish(job, token, await this.#verdictOf(job, token));
    } catch (error) {
      // The record is settled or waits; BullMQ hands the ticket out again when its lock ends.
      this.#options.onError(error);
    } finally {
      if (this.#held.get(jobId) === token) this.#held.delete(jobId);
      this.#wake();
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

  async #finish(job: Job, token: string, verdict: Verdict): Promise<void> {
    const backend = this.#backend!;
    if (verdict.kind === 'later') {
      // BullMQ adds the delay to the moment it is given.
      await backend.moveToDelayed(job.id!, this.#options.clock.nowMs(), verdict.delayMs, token);
      return;
    }
    // Completing one ticket fetches the next in the same script, into the place that is becoming free.
    const { result } = await backend.moveToCompleted(job, '"ok"', keepNothing, token, !this.#stopped);
    if (Array.isArray(result) && result[0]) {
      this.#held.delete(job.id!);
      this.#startClaimed(result, token);
    }
  }

  async #renewLocks(): Promise<void> {
    if (this.#held.size === 0) return;
    await this.#backend!.extendLocks(
      [...this.#held.keys()],
      [...this.#held.values()],
      this.#options.settings.lock_ms,
    );
  }
}
