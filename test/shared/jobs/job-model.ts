import { type Delivery, isTerminal, type JobState, type TerminalState } from '#shared/contracts/job.ts';

export const limits = { leaseMs: 20_000, crashesMax: 2, depthMax: 2, firstLookMs: 10_000 };

interface Idempotency {
  keyHash: string;
  fingerprint: string;
}

interface ModelJob {
  state: JobState;
  delivery: Delivery;
  deadlineMs: number;
  counted: boolean;
  attempt: number;
  refusals: number;
  crashes: number;
  waiters: string[];
  attempts: number;
  cancelRequested: boolean;
  lease: { token: string; owner: string; untilMs: number } | undefined;
  /** Attempts whose ledger row is written. */
  charged: Set<number | undefined>;
  notBeforeMs: number;
  firstLookMs: number;
  /** The terminal states it ever reached; more than one would be a bug. */
  ends: TerminalState[];
}

/** What the scripts promise, in plain memory: the job records of one tenant. */
export class JobModel {
  readonly jobs = new Map<string, ModelJob>();
  readonly #idempotency = new Map<string, { jobId: string; fingerprint: string }>();
  settledRows = 0;
  wastedRows = 0;

  get depth(): number {
    return [...this.jobs.values()].filter(({ counted }) => counted).length;
  }

  get open(): string[] {
    return [...this.jobs].filter(([, { state }]) => !isTerminal(state)).map(([id]) => id);
  }

  due(nowMs: number): string[] {
    return this.open.filter((id) => this.jobs.get(id)!.firstLookMs <= nowMs);
  }

  accept(
    nowMs: number,
    jobId: string,
    options: {
      idempotency: Idempotency | undefined;
      waiter: string | undefined;
      deadlineMs: number;
      delivery: Delivery;
      runAtMs: number | undefined;
    },
  ): object {
    const { idempotency, waiter } = options;
    const known = this.jobs.get(jobId);
    if (known) return { kind: 'accepted', jobId, deadlineMs: known.deadlineMs };
    const held = idempotency && this.#idempotency.get(idempotency.keyHash);
    if (held)
      return {
        kind: held.fingerprint === idempotency.fingerprint ? 'joined' : 'mismatch',
        jobId: held.jobId,
      };
    if (this.depth >= limits.depthMax) return { kind: 'queue_full', depth: this.depth };
    if (idempotency)
      this.#idempotency.set(idempotency.keyHash, { jobId, fingerprint: idempotency.fingerprint });
    this.jobs.set(jobId, {
      state: 'queued',
      delivery: options.delivery,
      deadlineMs: nowMs + options.deadlineMs,
      counted: true,
      attempt: 0,
      refusals: 0,
      crashes: 0,
      waiters: waiter ? [waiter] : [],
      attempts: 0,
      cancelRequested: false,
      lease: undefined,
      charged: new Set(),
      notBeforeMs: options.runAtMs ?? 0,
      firstLookMs: nowMs + limits.firstLookMs,
      ends: [],
    });
    return { kind: 'accepted', jobId, deadlineMs: nowMs + options.deadlineMs };
  }

  join(jobId: string, waiter: string): string {
    const job = this.jobs.get(jobId);
    if (!job) return 'gone';
    if (isTerminal(job.state)) return 'settled';
    if (!job.waiters.includes(waiter)) job.waiters.push(waiter);
    return 'waiting';
  }

  leave(jobId: string, waiter: string): number {
    const job = this.jobs.get(jobId);
    if (!job || isTerminal(job.state)) return -1;
    job.waiters = job.waiters.filter((each) => each !== waiter);
    return job.waiters.length;
  }

  begin(
    nowMs: number,
    jobId: string,
    holder: { token: string; owner: string; mayTakeOver: boolean; mayRunSuspect: boolean },
  ): object {
    const job = this.jobs.get(jobId);
    if (!job) return { kind: 'gone' };
    if (isTerminal(job.state)) return { kind: 'settled' };
    const again = job.lease?.token === holder.token;
    if (!again) {
      const crashes = job.crashes + (job.lease ? 1 : 0);
      const refused =
        this.#refusedByState(nowMs, job, holder.mayTakeOver) ??
        this.#refusedByHistory(job, crashes, holder.mayRunSuspect);
      if (refused) return refused;
      job.crashes = crashes;
      job.attempt++;
    }
    job.state = 'running';
    const owner = again ? job.lease!.owner : holder.owner;
    job.lease = { token: holder.token, owner, untilMs: nowMs + limits.leaseMs };
    job.counted = false;
    return { kind: 'begun', attempt: job.attempt, refusals: job.refusals };
  }

  #refusedByState(nowMs: number, job: ModelJob, mayTakeOver: boolean): object | undefined {
    if (!job.lease) {
      if (job.notBeforeMs > nowMs) return { kind: 'early', remainingMs: job.notBeforeMs - nowMs };
      return job.attempt === 0 && job.deadlineMs < nowMs ? { kind: 'late' } : undefined;
    }
    const { untilMs } = job.lease;
    if (untilMs > nowMs) return { kind: 'busy', remainingMs: untilMs - nowMs };
    if (untilMs > 0 && !mayTakeOver) return { kind: 'busy', remainingMs: limits.leaseMs };
    return undefined;
  }

  #refusedByHistory(job: ModelJob, crashes: number, mayRunSuspect: boolean): object | undefined {
    if (job.lease && job.delivery === 'at_most_once') return { kind: 'unknown' };
    if (job.lease && crashes >= limits.crashesMax) return { kind: 'crashed', crashes };
    if (job.cancelRequested) return { kind: 'cancelled' };
    const isSuspect = crashes > 0 && crashes >= limits.crashesMax - 1;
    return isSuspect && !mayRunSuspect ? { kind: 'suspect' } : undefined;
  }

  heartbeat(nowMs: number, jobId: string, token: string): string {
    const job = this.jobs.get(jobId);
    if (job?.lease?.token !== token) return 'lost';
    job.lease.untilMs = nowMs + limits.leaseMs;
    return job.cancelRequested ? 'cancel' : 'held';
  }

  abandon(nowMs: number, jobId: string, token: string, refusal: boolean, delayMs: number): void {
    const job = this.jobs.get(jobId);
    if (job?.lease?.token !== token) return;
    job.lease = undefined;
    job.state = 'queued';
    job.counted = true;
    job.attempts++;
    job.notBeforeMs = nowMs + delayMs;
    if (refusal) job.refusals++;
  }

  giveBack(jobId: string, token: string): void {
    const job = this.jobs.get(jobId);
    if (job?.lease?.token !== token) return;
    job.lease = undefined;
    job.state = 'queued';
    job.counted = true;
    job.attempt--;
  }

  settle(
    jobId: string,
    state: TerminalState,
    options: { onlyWaiting: boolean; holder: string; attempt: number | undefined; hasUsage: boolean },
  ): object {
    const job = this.jobs.get(jobId);
    if (!job) return { kind: 'gone' };
    if (isTerminal(job.state)) {
      if (options.hasUsage && !job.charged.has(options.attempt)) {
        job.charged.add(options.attempt);
        this.wastedRows++;
      }
      return { kind: 'already', state: job.state };
    }
    const foreign = options.holder !== '' && options.holder !== job.lease?.token;
    if ((options.onlyWaiting && job.lease) || foreign)
      return { kind: 'running', owner: job.lease?.owner ?? '' };
    const { waiters } = job;
    Object.assign(job, {
      state,
      lease: undefined,
      counted: false,
      waiters: [],
      charged: new Set([options.attempt]),
    });
    job.ends.push(state);
    if (options.attempt !== undefined) job.attempts++;
    if (options.hasUsage) this.settledRows++;
    return { kind: 'settled', waiters, woken: [] };
  }

  requestCancel(jobId: string): string {
    const job = this.jobs.get(jobId);
    if (!job) return 'gone';
    if (isTerminal(job.state) || job.state === 'queued') return job.state;
    job.cancelRequested = true;
    return 'requested';
  }

  reclaim(jobId: string, deadOwner: string): string {
    const lease = this.jobs.get(jobId)?.lease;
    if (!lease || lease.owner !== deadOwner) return 'other';
    lease.untilMs = 0;
    return 'reclaimed';
  }
}
