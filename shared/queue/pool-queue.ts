import { type JobState as BullState, Queue, type Telemetry } from 'bullmq';
import type { TokenEstimate } from '#shared/contracts/job.ts';
import type { LimitReading } from '#shared/contracts/limit-reading.ts';
import { type Ticket, ticketSchema, ticketVersion } from '#shared/contracts/ticket.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { fairKeys, keys } from '#shared/redis/keys.ts';
import { createFairBackend } from './fair/create-fair-backend.ts';
import { type EndedCall, type HealthReport, reportHealth } from './fair/credential-health.ts';
import { explainJob, explainPool, type PoolExplanation, type Waiting } from './fair/explain.ts';
import { pickWaiting, readStandings, type Standings, type TokenWeights } from './fair/fairness.ts';
import { type ObservedLimits, observeLimits } from './fair/observe-limits.ts';
import type { PoolSettings, TenantSettings } from './fair/pool-config.ts';
import { coolDown, type Published, publishPool } from './fair/publish-pool.ts';

/** The models of one provider that share one set of ceilings: one BullMQ queue. */
export interface PoolId {
  provider: string;
  pool: string;
}

export interface EnqueueOptions {
  /** 0 is served first, 9 last, within the tenant's lane. */
  priority: number;
  /** What the call is reckoned with; decides its tenant's turn and its room under the ceilings. */
  tokens: Omit<TokenEstimate, 'linear'>;
  /** Not before this many milliseconds from now. */
  delayMs: number;
  /** When the job is to have started, on Redis' clock. In its lane and class the earliest is served first. */
  deadlineMs: number;
}

/** Finished tickets leave nothing behind: their story is in the job record. */
export const keepNothing = { count: 0 } as const;
/** Most tickets looked through for those of a dead worker. */
const activeMax = 100_000;
/** A member of a lane is the number of its ticket, in so many digits, and the id of its job. */
const sequenceDigits = 12;
/** BullMQ's event stream serves nobody here; it stays short. */
const eventsMax = 100;

/** What every BullMQ object of a pool shares. */
export function bullOptions(id: PoolId, connection: RedisConnection, telemetry: Telemetry | undefined) {
  return { connection, prefix: keys.queuePrefix(id.provider), ...(telemetry ? { telemetry } : {}) };
}

function openQueue(id: PoolId, connection: RedisConnection, clock: Clock, telemetry: Telemetry | undefined) {
  const options = {
    ...bullOptions(id, connection, telemetry),
    streams: { events: { maxLen: eventsMax } },
    defaultJobOptions: { removeOnComplete: keepNothing, removeOnFail: keepNothing, attempts: 1 },
  };
  return new Queue(id.pool, options, createFairBackend({ clock, events: false }));
}

/** The producer's side of one pool: tickets go in, may be looked up, and may be taken back. */
export class PoolQueue implements Service {
  readonly name: string;
  readonly id: PoolId;
  readonly #queue: ReturnType<typeof openQueue>;
  readonly #connection: RedisConnection;

  constructor(id: PoolId, connection: RedisConnection, clock: Clock, telemetry?: Telemetry) {
    this.id = id;
    this.#connection = connection;
    this.name = `queue ${id.provider}/${id.pool}`;
    this.#queue = openQueue(id, connection, clock, telemetry);
    // Errors of the connection reach every caller of a method; the event itself has nobody to tell.
    this.#queue.on('error', () => undefined);
  }

  async start(): Promise<void> {
    await this.#queue.waitUntilReady();
  }

  async stop(): Promise<void> {
    await this.#queue.close();
  }

  /** Adds the ticket of a job; a ticket that is there already stays as it is. */
  async enqueue(ticket: Pick<Ticket, 'tenant' | 'job'>, options: EnqueueOptions): Promise<void> {
    const { priority, tokens, deadlineMs } = options;
    const { input, output, max } = tokens;
    const place = { class: priority, input, output, max, deadline: deadlineMs };
    const data: Ticket = { v: ticketVersion, ...ticket, ...place };
    await this.#ask(this.#queue.add('call', data, { jobId: ticket.job, delay: options.delayMs }));
  }

  /** Makes it known to all processes how the pool is shared and what its provider allows; the last one counts. */
  async publish(
    settings: Partial<PoolSettings>,
    tenants: Record<string, TenantSettings>,
    publisher = '',
  ): Promise<Published> {
    return this.#ask(publishPool(this.#queue.getBackend(), settings, tenants, publisher));
  }

  /** Holds a credential back for so long from now; never shortens what was asked for before. */
  async coolDown(credential: string, forMs: number): Promise<void> {
    await this.#ask(coolDown(this.#queue.getBackend(), credential, forMs));
  }

  /** Tells the pool how a call ended, as far as it tells whether its credential and its provider work. */
  report(call: EndedCall): Promise<HealthReport> {
    return this.#ask(reportHealth(this.#queue.getBackend(), call));
  }

  /** Channel on which all workers hear of credentials that are held back, as `newsSchema`. */
  get newsChannel(): string {
    return fairKeys(this.#queue.toKey('')).news;
  }

  /** Tells the pool what an answer said about the limits of a credential; its request was sent `ageMs` ago. */
  observe(credential: string, ageMs: number, readings: readonly LimitReading[]): Promise<ObservedLimits> {
    return this.#ask(observeLimits(this.#queue.getBackend(), credential, ageMs, readings));
  }

  /** Where the ticket stands in BullMQ; `unknown` when it is nowhere. */
  state(jobId: string): Promise<BullState | 'unknown'> {
    return this.#ask(this.#queue.getJobState(jobId));
  }

  /** Has a ticket that was to come back later come back now; nothing happens to any other. */
  async promote(jobId: string): Promise<void> {
    const wasDelayed = (await this.state(jobId)) === 'delayed';
    // Somebody else may promote it at the same time.
    if (wasDelayed) await this.#ask(this.#queue.getBackend().promote(jobId)).catch(() => undefined);
  }

  /** Takes the ticket out of the queue; false while a worker holds it. */
  async remove(jobId: string): Promise<boolean> {
    return (await this.#ask(this.#queue.remove(jobId))) === 1;
  }

  /** The tickets that a worker holds. */
  async heldBy(workerId: string): Promise<Ticket[]> {
    const active = await this.#ask(this.#queue.getJobs(['active'], 0, activeMax - 1));
    return active.filter((job) => job?.processedBy === workerId).map((job) => ticketSchema.parse(job.data));
  }

  /** Up to `max` tickets that wait, in each of the ways a ticket may wait. */
  async waiting(max: number): Promise<Ticket[]> {
    const waiting = await this.#ask(this.#queue.getJobs(['prioritized', 'wait', 'delayed'], 0, max - 1));
    return waiting.filter((job) => job !== undefined).map((job) => ticketSchema.parse(job.data));
  }

  /** Gives a ticket back on behalf of a dead worker; nothing happens when another one holds it by now. */
  async giveBack(jobId: string, deadWorkerId: string): Promise<void> {
    const token = await this.#ask(this.#connection.get(this.#queue.toKey(`${jobId}:lock`)));
    // Whoever takes a ticket writes lock and name together: with the name unchanged, the lock read before is the dead one's.
    const holder = await this.#ask(this.#connection.hget(this.#queue.toKey(jobId), 'pb'));
    // Without a lock it is BullMQ's own check that puts the ticket back.
    if (token === null || holder !== deadWorkerId) return;
    await this.#ask(this.#queue.getBackend().moveJobFromActiveToWait(jobId, token));
    // BullMQ wakes nobody for a ticket with a priority that comes back; its workers wait for this marker.
    await this.#ask(this.#connection.zadd(this.#queue.toKey('marker'), 0, '0'));
  }

  /** What waits in the pool, how far its ceilings are used, and how its credentials are. */
  async explainAll(): Promise<PoolExplanation> {
    return this.#ask(explainPool(this.#queue.getBackend()));
  }

  /** Why a waiting job waits, where it stands in its lane, and when it should start. */
  async explain(tenant: string, jobId: string, startsPerSecond: number): Promise<Waiting> {
    return this.#ask(explainJob(this.#queue.getBackend(), tenant, jobId, startsPerSecond));
  }

  /** How far the lanes that compete have been served, and what is in hand. */
  standings(weights: TokenWeights): Promise<Standings> {
    return this.#ask(readStandings(this.#queue.getBackend(), weights));
  }

  /** A waiting job, picked at random; undefined when none waits in a lane that competes. */
  pickWaiting(): Promise<{ tenant: string; jobId: string } | undefined> {
    return this.#ask(pickWaiting(this.#queue.getBackend()));
  }

  /** The job that is first in line in a tenant's lane; undefined when none waits there. */
  async firstOf(tenant: string): Promise<string | undefined> {
    const lane = `${fairKeys(this.#queue.toKey('')).jobs}${tenant}`;
    const [first] = await this.#ask(this.#connection.zrange(lane, 0, '0'));
    return first?.slice(sequenceDigits);
  }

  /** Tickets by where they are. */
  async counts(): Promise<{ waiting: number; active: number; delayed: number }> {
    const counts = await this.#ask(this.#queue.getJobCounts('wait', 'prioritized', 'active', 'delayed'));
    return {
      waiting: (counts.wait ?? 0) + (counts.waiting ?? 0) + (counts.prioritized ?? 0),
      active: counts.active ?? 0,
      delayed: counts.delayed ?? 0,
    };
  }

  async #ask<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      throw storeError(error);
    }
  }
}
