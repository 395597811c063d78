import type { Settings } from '#config/schema.ts';
import type { Announcement, Outcome } from '#shared/contracts/outcome.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';

interface Waiter {
  tenant: string;
  jobId: string;
  resolve: (outcome: Outcome) => void;
  reject: (error: Error) => void;
  nextReadMs: number;
}

/** One caller's wait. `cancel` must be called when the caller no longer waits. */
export interface Awaited {
  outcome: Promise<Outcome>;
  cancel(): void;
}

export interface OutcomeWaiterOptions {
  clock: Clock;
  settings: Settings['replies'];
  /** Reads a stored outcome; undefined while the job has none. */
  readOutcome: (tenant: string, jobId: string) => Promise<Outcome | undefined>;
  onError: (error: unknown) => void;
}

/**
 * Waits for jobs on behalf of one ingress process. Announcements come from its inbox; because they are hints, every wait
 * also re-reads its record once per `reread_ms`.
 */
export class OutcomeWaiter implements Service {
  readonly name = 'outcome waiter';
  readonly #options: OutcomeWaiterOptions;
  readonly #waiters = new Map<string, Set<Waiter>>();
  #reread: Timer | undefined;
  #rereading = false;
  #size = 0;

  constructor(options: OutcomeWaiterOptions) {
    this.#options = options;
  }

  /** Callers that wait at present. */
  get size(): number {
    return this.#size;
  }

  async start(): Promise<void> {
    const period = Math.max(20, Math.floor(this.#options.settings.reread_ms / 4));
    this.#reread = this.#options.clock.every(period, () => void this.#rereadOverdue());
  }

  async stop(): Promise<void> {
    this.#reread?.cancel();
    this.releaseAll();
  }

  /** Tells everybody who waits here that this server is stopping; their jobs go on. */
  releaseAll(): void {
    for (const [jobId, waiters] of this.#waiters) {
      const error = new SluiceError('shutting_down', { fields: { job: jobId }, retryAfterMs: 1_000 });
      for (const waiter of [...waiters]) this.#finish(waiter, () => waiter.reject(error));
    }
  }

  /** Registers a wait. Do it before the job can end, or call `readNow` after. */
  expect(tenant: string, jobId: string): Awaited {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const nextReadMs = this.#options.clock.monotonicMs() + this.#options.settings.reread_ms;
    const waiter: Waiter = { tenant, jobId, resolve, reject, nextReadMs };
    const others = this.#waiters.get(jobId);
    if (others) others.add(waiter);
    else this.#waiters.set(jobId, new Set([waiter]));
    this.#size++;
    // A wait that is given up must not count as an unhandled rejection.
    promise.catch(() => undefined);
    return { outcome: promise, cancel: () => this.#finish(waiter, () => undefined) };
  }

  /** Whether anybody here waits for the job. */
  isAwaited(jobId: string): boolean {
    return this.#waiters.has(jobId);
  }

  /** Takes what the inbox received. */
  receive(announcement: Announcement): void {
    if (announcement.kind !== 'outcome') return;
    const { head, body } = announcement;
    const waiting = this.#waiters.get(head.job);
    if (!waiting) return;
    const [first] = waiting;
    if (body) this.#deliver(head.job, { head, body });
    else this.readNow(first!.tenant, head.job).catch(this.#options.onError);
  }

  /** Reads the record at once, for a job that may have ended before the wait was registered. */
  async readNow(tenant: string, jobId: string): Promise<void> {
    const outcome = await this.#options.readOutcome(tenant, jobId);
    if (outcome) this.#deliver(jobId, outcome);
  }

  #finish(waiter: Waiter, tell: () => void): void {
    const set = this.#waiters.get(waiter.jobId);
    if (!set?.delete(waiter)) return;
    if (set.size === 0) this.#waiters.delete(waiter.jobId);
    this.#size--;
    tell();
  }

  #deliver(jobId: string, outcome: Outcome): void {
    for (const waiter of this.#waiters.get(jobId) ?? []) this.#finish(waiter, () => waiter.resolve(outcome));
  }

  async #rereadOverdue(): Promise<void> {
    if (this.#rereading) return;
    this.#rereading = true;
    try {
      const now = this.#options.clock.monotonicMs();
      const overdue = [...this.#waiters.values()]
        .map(([waiter]) => waiter!)
        .filter((waiter) => waiter.nextReadMs <= now);
      for (const waiter of overdue) waiter.nextReadMs = now + this.#options.settings.reread_ms;
      await Promise.all(overdue.map((waiter) => this.readNow(waiter.tenant, waiter.jobId)));
    } catch (error) {
      this.#options.onError(error);
    } finally {
      this.#rereading = false;
    }
  }
}
