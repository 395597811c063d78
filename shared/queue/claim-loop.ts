import { Job, type MinimalQueue } from 'bullmq';
import type { Timer } from '#shared/kernel/clock.ts';
import { EndlessWait } from '#shared/kernel/endless-wait.ts';
import { TickBatch } from '#shared/kernel/tick-batch.ts';
import type { Claimed, ClaimRequest, Claims, Completion } from './fair/claims.ts';
import { createFairBackend } from './fair/create-fair-backend.ts';
import type { FairQueueBackend } from './fair/fair-backend.ts';
import { bullOptions, keepNothing } from './pool-queue.ts';
import { type TicketWorker, type TicketWorkerOptions, type Verdict, verdictOf } from './ticket-worker.ts';

/** Most tickets asked for at once. */
const claimMax = 64;
const idleWaitSeconds = 5;
const pauseAfterErrorMs = 250;
const drainPollMs = 20;
/**
 * Tickets in hand of a loop that has just started, until one is done or so long after the first: what a process without
 * compiled code and connections was granted reaches the provider late, and would count there in another window.
 */
const coldPlaces = 1;
const coldMs = 1_000;
/** BullMQ gives jobs their methods through a queue; a ticket needs none. */
const noQueue = { opts: {}, toKey: (type: string) => type } as unknown as MinimalQueue;

/**
 * Claims as many tickets at once as there are free places, in one script, and fills the places of tickets that are
 * completed in one tick in the one script that completes them. BullMQ's Worker claims one after the other and is bound by latency.
 *
 * claiming ⇄ idle (until BullMQ's marker is there, or a ceiling admits again) ⇄ full (all places taken)
 *   → draining → stopped
 */
export class ClaimLoop implements TicketWorker {
  /** Numbers of all loops of the process: a pool that left and came back must not give the same token again. */
  static #tokens = 0;
  readonly name: string;
  readonly #options: TicketWorkerOptions;
  readonly #held = new Map<string, string>();
  readonly #completions = new TickBatch<Completion, Error | undefined>(
    (completions) => this.#complete(completions),
    claimMax,
  );
  #backend: FairQueueBackend | undefined;
  #timers: Timer[] = [];
  #loop: Promise<void> | undefined;
  #concurrency: number;
  #temperature: 'cold' | 'warming' | 'warm' = 'cold';
  #stopped = false;
  #wake: () => void = () => undefined;
  /** The wait for BullMQ's marker; it goes on while a ceiling's time comes or a claim is on its way. */
  #signal: Promise<void> | undefined;
  /** A marker was taken, and nothing has been claimed since: whoever takes it must look, or pass it on. */
  #signalled = false;
  readonly #marker = new EndlessWait();
  /** When it asks again although nobody told it to; of the clock that never goes back. */
  #asksAtMs = 0;

  constructor(options: TicketWorkerOptions) {
    this.#options = options;
    this.#concurrency = options.concurrency;
    this.name = `worker ${options.id.provider}/${options.id.pool}`;
  }

  get active(): number {
    return this.#held.size;
  }

  resize(concurrency: number): void {
    this.#concurrency = concurrency;
    this.#wake();
  }

  async start(): Promise<void> {
    const { id, connection, settings, clock, workerId, onError } = this.#options;
    const options = {
      ...bullOptions(id, connection, undefined),
      // Written to every ticket it takes; tells a dead worker's tickets from others.
      name: workerId,
      lockDuration: settings.lock_ms,
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      stalledInterval: settings.stalled_check_ms,
      removeOnComplete: keepNothing,
      removeOnFail: keepNothing,
    };
    const factory = createFairBackend({ clock, events: false, onWait: this.#options.onWait });
    this.#backend = factory(id.pool, options, { withBlockingConnection: true });
    this.#backend.on('error', onError);
    await this.#backend.waitUntilReady();
    const checkStalled = () => void this.#backend!.moveStalledJobsToWait().catch(onError);
    this.#timers = [
      clock.every(settings.lock_ms / 3, () => void this.#renewLocks().catch(onError)),
      clock.every(settings.stalled_check_ms, checkStalled),
    ];
    this.#loop = this.#claimForever().finally(() => {
      this.#loop = undefined;
    });
  }

  async stop(drainMs = this.#options.settings.drain_ms): Promise<void> {
    this.#stopped = true;
    this.#marker.giveUp();
    this.#wake();
    await this.#backend?.disconnectBlocking(false).catch(() => undefined);
    // A claim that is on its way may bring tickets still.
    for (let waited = 0; (this.#loop || this.#held.size > 0) && waited < drainMs; waited += drainPollMs) {
      await this.#options.clock.sleep(drainPollMs);
    }
    for (const timer of this.#timers) timer.cancel();
    await this.#backend?.close(true).catch(() => undefined);
  }

  async #claimForever(): Promise<void> {
    while (!this.#stopped) {
      try {
        const free = this.#places - this.#held.size;
        if (free > 0) await this.#claimSome(Math.min(free, claimMax));
        else if (this.#signalled) await this.#passOn();
        else await this.#untilPlaceFree();
      } catch (error) {
        if (this.#stopped) return;
        this.#options.onError(error);
        await this.#options.clock.sleep(pauseAfterErrorMs);
      }
    }
  }

  /** All places are taken: the marker is another worker's. */
  async #passOn(): Promise<void> {
    this.#signalled = false;
    await this.#backend!.claim(this.#request(0));
  }

  get #places(): number {
    return this.#temperature === 'warm' ? this.#concurrency : Math.min(coldPlaces, this.#concurrency);
  }

  #warmUp(): void {
    this.#temperature = 'warm';
    this.#wake();
  }

  #untilPlaceFree(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #claimSome(count: number): Promise<void> {
    this.#signalled = false;
    const claims = await this.#backend!.claim(this.#request(count));
    this.#startAll(claims);
    if (claims.claimed.length < count) await this.#idle(claims);
  }

  #request(count: number): ClaimRequest {
    const request = { count, tokenPrefix: `${this.#options.workerId}:`, tokenFrom: ClaimLoop.#tokens };
    ClaimLoop.#tokens += count;
    return request;
  }

  /** Until BullMQ signals a ticket, or until it is worth asking again. */
  async #idle({ comeBackMs, limitedMs, lateMs }: Claims): Promise<void> {
    const { clock } = this.#options;
    if (limitedMs > 0) return clock.sleep(limitedMs);
    if (this.#signalled || (comeBackMs !== undefined && comeBackMs <= 0)) return;
    this.#signal ??= this.#untilSignalled();
    if (comeBackMs === undefined) return this.#signal;
    // Who was woken before its time keeps its place among those that come on time.
    const nowMs = clock.monotonicMs();
    const asksAtMs = nowMs + comeBackMs + lateMs;
    if (this.#asksAtMs <= nowMs || this.#asksAtMs > asksAtMs) this.#asksAtMs = asksAtMs;
    // Redis looks at the time of its blocked clients when something else wakes it; a timer of our own is exact.
    const early = new AbortController();
    await Promise.race([this.#signal, clock.sleep(this.#asksAtMs - nowMs, early.signal)]);
    early.abort();
  }

  /** Never rejects. */
  async #untilSignalled(): Promise<void> {
    try {
      const marker = await this.#marker.until(this.#backend!.waitForJob(idleWaitSeconds));
      this.#signalled ||= Boolean(marker);
    } catch (error) {
      if (!this.#stopped) this.#options.onError(error);
      await this.#options.clock.sleep(pauseAfterErrorMs);
    } finally {
      this.#signal = undefined;
      this.#wake();
    }
  }

  #startAll({ claimed }: Claims): void {
    if (this.#temperature === 'cold' && claimed.length > 0) {
      this.#temperature = 'warming';
      this.#timers.push(this.#options.clock.after(coldMs, () => this.#warmUp()));
    }
    for (const claim of claimed) void this.#run(claim);
  }

  async #run(claim: Claimed): Promise<void> {
    const { id, token } = claim;
    this.#held.set(id, token);
    try {
      const job = Job.fromJSON(noQueue, claim.json, id);
      await this.#finish(job, token, await verdictOf(this.#options, job, claim));
    } catch (error) {
      // The record is settled or waits; BullMQ hands the ticket out again when its lock ends.
      this.#options.onError(error);
    } finally {
      if (this.#held.get(id) === token) this.#held.delete(id);
      this.#wake();
    }
  }

  async #finish(job: Job, token: string, verdict: Verdict): Promise<void> {
    const backend = this.#backend!;
    this.#warmUp();
    backend.noteUnused(job.id!, verdict.unused);
    if (verdict.kind === 'back') {
      await backend.moveJobFromActiveToWait(job.id!, token);
    } else if (verdict.kind === 'later') {
      // BullMQ adds the delay to the moment it is given.
      await backend.moveToDelayed(job.id!, this.#options.clock.nowMs(), verdict.delayMs, token);
    } else {
      const failed = await this.#completions.add({ job, token, usage: verdict.usage });
      if (failed) throw failed;
    }
  }

  async #complete(completions: readonly Completion[]): Promise<readonly (Error | undefined)[]> {
    const next = this.#request(this.#placesAfter(completions.length));
    const { failed, ...claims } = await this.#backend!.complete(completions, next);
    for (const { job } of completions) this.#held.delete(job.id!);
    this.#startAll(claims);
    return failed;
  }

  /** How many of the places of completed tickets are to be filled. */
  #placesAfter(completed: number): number {
    if (this.#stopped) return 0;
    return Math.max(0, Math.min(completed, this.#places - this.#held.size + completed));
  }

  async #renewLocks(): Promise<void> {
    if (this.#held.size === 0) return;
    const { lock_ms } = this.#options.settings;
    await this.#backend!.extendLocks([...this.#held.keys()], [...this.#held.values()], lock_ms);
  }
}
