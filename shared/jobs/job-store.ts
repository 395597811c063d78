import type { JobSettings } from '#config/schema.ts';
import { isTerminal, type JobState, type TerminalState } from '#shared/contracts/job.ts';
import type { Outcome } from '#shared/contracts/outcome.ts';
import { firstLookMs } from '#shared/contracts/route.ts';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import { type Abandoned, abandonArgs } from './abandon.ts';
import { type Accepted, type AcceptOptions, acceptedOf } from './accepted.ts';
import { JobBodies, type LargeBodies } from './job-bodies.ts';
import {
  type BegunJob,
  begunFields,
  begunJobOf,
  type JobView,
  recordLifeMs,
  requestFields,
  viewFields,
  viewOf,
} from './job-record.ts';
import * as scripts from './scripts.ts';
import { type Settled, type Settlement, settleJob } from './settle-job.ts';
import { togetherMs } from './shared-jobs.ts';
import { outcomeFields, outcomeOf } from './stored-outcome.ts';

export type { Accepted, AcceptOptions } from './accepted.ts';
export type { BegunJob } from './job-record.ts';
export type { Settled, Settlement } from './settle-job.ts';

export interface BeginOptions {
  tenant: string;
  jobId: string;
  token: string;
  owner: string;
  /** Pool of the ticket. */
  place: { provider: string; pool: string };
  mayTakeOver: boolean;
  /** Whether a job may begin whose next crash would be its last. */
  mayRunSuspect: boolean;
}

export type Begun =
  | { kind: 'begun'; job: BegunJob }
  | { kind: 'settled' | 'gone' | 'moved' | 'late' | 'cancelled' | 'suspect' | 'unknown' }
  | { kind: 'busy' | 'early'; remainingMs: number }
  | { kind: 'crashed'; crashes: number };

export interface JobStoreOptions {
  /** Fixed "now" for tests; empty means Redis time. */
  suppliedNowMs?: () => number | '';
  /** Undefined: bodies of every size lie in their records. */
  large?: LargeBodies;
  /** How long a tenant wants its results kept, if it says so. */
  retentionSecondsOf?: (tenant: string) => number | undefined;
}

/**
 * The job records: the truth about every accepted call.
 *
 *   (none) ──accept──▶ queued ──begin──▶ running ──settle──▶ succeeded | failed | cancelled | outcome_unknown
 *                       │  ▲                │
 *                       │  └────abandon─────┘
 *                       └──settle (only waiting)──▶ cancelled | expired
 *
 * Every step is one script on the tenant's slot and may be sent again without harm.
 */
export class JobStore {
  readonly #redis: RedisConnection;
  readonly #settings: JobSettings;
  readonly #suppliedNowMs: () => number | '';
  readonly #retentionSecondsOf: (tenant: string) => number | undefined;
  readonly #knownTenants = new Set<string>();
  readonly bodies: JobBodies;

  constructor(redis: RedisConnection, settings: JobSettings, options: JobStoreOptions = {}) {
    this.#redis = redis;
    this.#settings = settings;
    this.#suppliedNowMs = options.suppliedNowMs ?? (() => '');
    this.#retentionSecondsOf = options.retentionSecondsOf ?? (() => undefined);
    this.bodies = new JobBodies(redis, options.large);
  }

  async accept(options: AcceptOptions): Promise<Accepted> {
    const { tenant, jobId, idempotency, together } = options;
    await this.#registerTenant(tenant);
    const blob = await this.bodies.keep(tenant, jobId, 'request', options.request.body);
    const reply = await runScript(this.#redis, scripts.acceptScript, {
      keys: {
        record: keys.job(tenant, jobId),
        idempotency: keys.idempotency(tenant, idempotency?.keyHash ?? 'none'),
        jobs: keys.jobs(tenant),
        open: keys.open(tenant),
        depth: keys.depth(tenant),
        quota: keys.quota(tenant),
        together: keys.together(tenant, together?.digest ?? ''),
      },
      args: {
        suppliedNowMs: this.#suppliedNowMs(),
        jobId,
        fingerprint: idempotency?.fingerprint ?? '',
        idempotencyMs: this.#settings.idempotency_seconds * 1_000,
        goneJob: options.goneJob ?? '',
        waiter: options.waiter ?? '',
        depthLimit: options.depthLimit,
        deadlineMs: options.deadlineMs,
        firstLookMs: Math.min(
          this.#settings.sweep_first_ms,
          (options.request.route && firstLookMs(options.request.route)) ?? Number.POSITIVE_INFINITY,
        ),
        runAtMs: options.runAtMs ?? '',
        quotaText: options.quotas ?? '',
        depthKey: options.keyDepthLimit === undefined ? '' : options.request.axes.key,
        keyDepthLimit: options.keyDepthLimit ?? '',
        togetherMs: together ? togetherMs : '',
        readersMax: together?.readersMax ?? '',
      },
      rest: [
        ...requestFields(options.request, options.runAtMs, blob),
        ...(options.follows ? ['followers', options.waiter ?? ''] : []),
        ...(together ? ['together', together.digest] : []),
      ],
    });
    if (blob && reply[0] !== 'accepted') this.bodies.drop(tenant, blob);
    return acceptedOf(reply);
  }

  /** The sweeper finds a tenant's jobs only if it knows the tenant, so this comes before the first accept. */
  async #registerTenant(tenant: string): Promise<void> {
    if (this.#knownTenants.has(tenant)) return;
    await this.#ask(this.#redis.sadd(keys.tenants(), tenant));
    this.#knownTenants.add(tenant);
  }

  /** Has the end of a job announced to an ingress, and with `follows` its progress too. */
  join(
    tenant: string,
    jobId: string,
    waiter: string,
    follows = false,
  ): Promise<'gone' | 'settled' | 'waiting'> {
    return runScript(this.#redis, scripts.joinScript, {
      keys: { record: keys.job(tenant, jobId) },
      args: { waiter, follows: follows ? '1' : '0' },
    });
  }

  /** Number of ingresses that still await the job; -1 when it has ended. */
  leave(tenant: string, jobId: string, waiter: string): Promise<number> {
    return runScript(this.#redis, scripts.leaveScript, {
      keys: { record: keys.job(tenant, jobId) },
      args: { waiter },
    });
  }

  async begin(options: BeginOptions): Promise<Begun> {
    const { tenant, jobId } = options;
    const [kind, first, nowMs, ...values] = await runScript(this.#redis, scripts.beginScript, {
      keys: this.#waitingKeys(tenant, jobId),
      args: {
        suppliedNowMs: this.#suppliedNowMs(),
        jobId,
        token: options.token,
        owner: options.owner,
        place: `${options.place.provider}/${options.place.pool}`,
        leaseMs: this.#settings.lease_ms,
        mayTakeOver: options.mayTakeOver ? '1' : '0',
        crashesMax: this.#settings.crashes_max,
        mayRunSuspect: options.mayRunSuspect ? '1' : '0',
      },
      rest: begunFields,
    });
    if (kind === 'busy' || kind === 'early') return { kind, remainingMs: first };
    if (kind === 'crashed') return { kind, crashes: first };
    if (kind !== 'begun') return { kind };
    return { kind, job: begunJobOf(first, nowMs!, values as string[]) };
  }

  heartbeat(tenant: string, jobId: string, token: string): Promise<'held' | 'cancel' | 'lost'> {
    return runScript(this.#redis, scripts.heartbeatScript, {
      keys: { record: keys.job(tenant, jobId) },
      args: { suppliedNowMs: this.#suppliedNowMs(), token, leaseMs: this.#settings.lease_ms },
    });
  }

  /** Gives the lease back, if the token still has it; may be sent again. */
  async abandon(tenant: string, jobId: string, token: string, abandoned: Abandoned): Promise<void> {
    const args = abandonArgs(abandoned);
    const suppliedNowMs = this.#suppliedNowMs();
    await runScript(this.#redis, scripts.abandonScript, {
      keys: this.#waitingKeys(tenant, jobId),
      args: { ...args, suppliedNowMs, token },
    });
  }

  /** Undoes a begin of which nothing was sent, if the token still has the lease; may be sent again. */
  async giveBack(tenant: string, jobId: string, token: string): Promise<void> {
    await runScript(this.#redis, scripts.giveBackScript, {
      keys: this.#waitingKeys(tenant, jobId),
      args: { token },
    });
  }

  settle(settlement: Settlement): Promise<Settled> {
    return settleJob(
      {
        redis: this.#redis,
        settings: this.#settings,
        bodies: this.bodies,
        suppliedNowMs: this.#suppliedNowMs(),
        retentionMs: recordLifeMs(this.#settings, this.#retentionSecondsOf(settlement.tenant)),
      },
      settlement,
    );
  }

  /** Asks the worker that runs the job to stop; the worker hears of it at once, or with its next heartbeat. */
  async requestCancel(
    tenant: string,
    jobId: string,
  ): Promise<'requested' | 'queued' | 'gone' | 'shared' | TerminalState> {
    const [kind, detail] = await runScript(this.#redis, scripts.requestCancelScript, {
      keys: { record: keys.job(tenant, jobId), together: keys.together(tenant, '') },
      args: { jobId },
    });
    if (kind === 'requested')
      await this.#ask(this.#redis.publish(keys.workerChannel(detail), `${tenant} ${jobId}`));
    return kind === 'ended' ? detail : kind;
  }

  /** Ends the lease of a worker that is proven dead; `other` when the job is not its. */
  reclaim(tenant: string, jobId: string, deadOwner: string): Promise<'reclaimed' | 'other'> {
    return runScript(this.#redis, scripts.reclaimScript, {
      keys: { record: keys.job(tenant, jobId) },
      args: { deadOwner },
    });
  }

  async view(tenant: string, jobId: string): Promise<JobView | undefined> {
    return viewOf(tenant, jobId, await this.#ask(this.#redis.hmget(keys.job(tenant, jobId), ...viewFields)));
  }

  /** How far a job is; undefined when there is none. */
  async progress(tenant: string, jobId: string): Promise<{ attempt: number; ended: boolean } | undefined> {
    const [state, attempt] = await this.#ask(this.#redis.hmget(keys.job(tenant, jobId), 'state', 'attempt'));
    return state ? { attempt: Number(attempt), ended: isTerminal(state as JobState) } : undefined;
  }

  /** The outcome of an ended job; undefined while it has none. */
  async outcome(tenant: string, jobId: string): Promise<Outcome | undefined> {
    const stored = await this.#ask(this.#redis.hmgetBuffer(keys.job(tenant, jobId), ...outcomeFields));
    return outcomeOf(this.bodies, tenant, stored);
  }

  tenants(): Promise<string[]> {
    return this.#ask(this.#redis.smembers(keys.tenants()));
  }

  /** Up to `sweep_batch` unfinished jobs of the tenant that are due for a look, and Redis' time. */
  async due(tenant: string): Promise<{ nowMs: number; jobIds: string[] }> {
    const [nowMs, ...jobIds] = await runScript(this.#redis, scripts.dueScript, {
      keys: { open: keys.open(tenant) },
      args: { suppliedNowMs: this.#suppliedNowMs(), batch: this.#settings.sweep_batch },
    });
    return { nowMs, jobIds };
  }

  /** When the sweeper looks at the job next; `undefined` when never (its record is gone). */
  async lookAgain(tenant: string, jobId: string, atMs: number | undefined): Promise<void> {
    const open = keys.open(tenant);
    await this.#ask(
      atMs === undefined ? this.#redis.zrem(open, jobId) : this.#redis.zadd(open, 'XX', String(atMs), jobId),
    );
  }

  #waitingKeys(tenant: string, jobId: string) {
    return { record: keys.job(tenant, jobId), depth: keys.depth(tenant), quota: keys.quota(tenant) };
  }

  /** Every command here may meet a Redis that is away; callers see one catalogued error. */
  async #ask<T>(command: Promise<T>): Promise<T> {
    try {
      return await command;
    } catch (error) {
      throw storeError(error);
    }
  }
}
