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
  settledBy: number | undefined;
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
    },
  ): object {
    const { idempotency, waiter } = options;
    if (this.jobs.has(jobId)) return { kind: 'accepted', jobId };
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
      settledBy: undefined,
      firstLookMs: nowMs + limits.firstLookMs,
      ends: [],
    });
    return { kind: 'accepted', jobId };
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

  begin(nowMs: number, jobId: string, token: string, owner: string, mayTakeOver: boolean): object {
    const job = this.jobs.get(jobId);
    if (!job) return { kind: 'gone' };
    if (isTerminal(job.state)) return { kind: 'settled' };
    const again = job.lease?.token === token;
    if (job.lease && !again) {
      const refused = this.#takeOver(nowMs, job, mayTakeOver);
      if (refused) return refused;
    }
    if (!job.lease && job.attempt === 0 && job.deadlineMs < nowMs) return { kind: 'late' };
    if (!again) job.attempt++;
    job.state = 'running';
    job.lease = { token, owner: again ? job.lease!.owner : owner, untilMs: nowMs + limits.leaseMs };
    job.counted = false;
    return { kind: 'begun', attempt: job.attempt, refusals: job.refusals };
  }

  #takeOver(nowMs: number, job: ModelJob, mayTakeOver: boolean): object | undefined {
    const { untilMs } = job.lease!;
    if (untilMs > nowMs) return { kind: 'busy', remainingMs: untilMs - nowMs };
    if (untilMs > 0 && !mayTakeOver) return { kind: 'busy', remainingMs: limits.leaseMs };
    if (job.delivery === 'at_most_once') return { kind: 'unknown' };
    job.crashes++;
    return job.crashes >= limits.crashesMax ? { kind: 'crashed', crashes: job.crashes } : undefined;
  }

  heartbeat(nowMs: number, jobId: string, token: string): string {
    const job = this.jobs.get(jobId);
    if (job?.lease?.token !== token) return 'lost';
    job.lease.untilMs = nowMs + limits.leaseMs;
    return job.cancelRequested ? 'cancel' : 'held';
  }

  abandon(jobId: string, token: string, refusal: boolean): boolean {
    const job = this.jobs.get(jobId);
    if (job?.lease?.token !== token) return false;
    job.lease = undefined;
    job.state = 'queued';
    job.counted = true;
    job.attempts++;
    if (refusal) job.refusals++;
    return true;
  }

  settle(
    jobId: string,
    state: TerminalState,
    options: { onlyWaiting: boolean; attempt: number | undefined; hasUsage: boolean },
  ): object {
    const job = this.jobs.get(jobId);
    if (!job) return { kind: 'gone' };
    if (isTerminal(job.state)) {
      if (options.hasUsage && job.settledBy !== options.attempt) this.wastedRows++;
      return { kind: 'already', state: job.state };
    }
    if (options.onlyWaiting && job.lease) return { kind: 'running', owner: job.lease.owner };
    const { waiters } = job;
    Object.assign(job, { state, lease: undefined, counted: false, waiters: [], settledBy: options.attempt });
    job.ends.push(state);
    if (options.attempt !== undefined) job.attempts++;
    if (options.hasUsage) this.settledRows++;
    return { kind: 'settled', waiters };
  }

  requestCancel(jobId: string): string {
    const job = this.jobs.get(jobId);
    if (!job) return 'gone';
    if (isTerminal(job.state) || job.state === 'queued') return job.state;
    job.cancelRequested = true;
    return 'requested';
  }

  reclaim(jobId: string, deadOwner: string): string | undefined {
    const lease = this.jobs.get(jobId)?.lease;
    if (!lease || lease.owner !== deadOwner) return undefined;
    lease.untilMs = 0;
    return lease.token;
  }
}
