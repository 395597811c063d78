import { type JobState as BullState, Queue, type Telemetry } from 'bullmq';
import { type Ticket, ticketSchema, ticketVersion } from '#shared/contracts/ticket.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

/** The models of one provider that share one set of ceilings: one BullMQ queue. */
export interface PoolId {
  provider: string;
  pool: string;
}

export interface EnqueueOptions {
  /** 0 is served first, 9 last. */
  priority: number;
  /** Not before this many milliseconds from now. */
  delayMs: number;
}

/** Finished tickets leave nothing behind: their story is in the job record. */
export const keepNothing = { count: 0 } as const;
/** Most tickets looked through for those of a dead worker. */
const activeMax = 100_000;
/** BullMQ's event stream serves nobody here; it stays short. */
const eventsMax = 100;

/** BullMQ serves jobs without a priority before all others, so every ticket has one. */
const bullPriority = (priority: number) => priority + 1;

/** What every BullMQ object of a pool shares. */
export function bullOptions(id: PoolId, connection: RedisConnection, telemetry: Telemetry | undefined) {
  return { connection, prefix: keys.queuePrefix(id.provider), ...(telemetry ? { telemetry } : {}) };
}

/** The producer's side of one pool: tickets go in, may be looked up, and may be taken back. */
export class PoolQueue implements Service {
  readonly name: string;
  readonly id: PoolId;
  readonly #queue: Queue;
  readonly #connection: RedisConnection;

  constructor(id: PoolId, connection: RedisConnection, telemetry?: Telemetry) {
    this.id = id;
    this.#connection = connection;
    this.name = `queue ${id.provider}/${id.pool}`;
    this.#queue = new Queue(id.pool, {
      ...bullOptions(id, connection, telemetry),
      streams: { events: { maxLen: eventsMax } },
      defaultJobOptions: { removeOnComplete: keepNothing, removeOnFail: keepNothing, attempts: 1 },
    });
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
  async enqueue(ticket: Omit<Ticket, 'v'>, options: EnqueueOptions): Promise<void> {
    const data: Ticket = { v: ticketVersion, ...ticket };
    const priority = bullPriority(options.priority);
    await this.#ask(this.#queue.add('call', data, { jobId: ticket.job, priority, delay: options.delayMs }));
  }

  /** Where the ticket stands in BullMQ; `unknown` when it is nowhere. */
  state(jobId: string): Promise<BullState | 'unknown'> {
    return this.#ask(this.#queue.getJobState(jobId));
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
