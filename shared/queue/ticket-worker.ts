import type { Job, Telemetry } from 'bullmq';
import type { Settings } from '#config/schema.ts';
import { type Ticket, ticketSchema } from '#shared/contracts/ticket.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import type { Unused } from './fair/claims.ts';
import type { Grant } from './fair/grant.ts';
import type { Usage } from './fair/ticket-place.ts';
import type { PoolId } from './pool-queue.ts';

/** What becomes of a ticket: it is done (its job's record says how), or it is to come back later. */
export type Verdict =
  | { kind: 'done'; usage?: Usage | undefined; unused?: Unused | undefined }
  | { kind: 'later'; delayMs: number; unused?: Unused | undefined }
  /** To the head of its lane, now. */
  | { kind: 'back'; unused?: Unused | undefined };

export interface HeldTicket {
  ticket: Ticket;
  /** Proof of holding the ticket; never the same twice for one ticket. */
  token: string;
  /** When and with which credential it may be sent. */
  grant: Grant;
  /** Trace context of whoever enqueued it, as bullmq-otel writes it. */
  traceMetadata: string | undefined;
}

/**
 * Takes tickets of one pool out of BullMQ, `concurrency` at a time, and hands each to `handle`. Two loops do it:
 * `claim-loop.ts` and `stock-loop.ts`; both pass the same tests.
 */
export interface TicketWorkerOptions {
  id: PoolId;
  workerId: string;
  concurrency: number;
  connection: RedisConnection;
  settings: Settings['workers'];
  clock: Clock;
  telemetry: Telemetry | undefined;
  /** Must not throw; whatever it throws sends the ticket back for `retryThrownMs`. */
  handle: (held: HeldTicket) => Promise<Verdict>;
  onError: (error: unknown) => void;
  /** Hears when the ticket whose turn it is does not fit its ceilings yet, and what it waits for. */
  onWait?: (tenant: string, waitedFor: string) => void;
}

export const retryThrownMs = 1_000;

export interface TicketWorker extends Service {
  /** Tickets being handled. */
  readonly active: number;
  /** Claims nothing more, waits for the tickets in hand, no longer than `drainMs`, and closes. */
  stop(drainMs?: number): Promise<void>;
  /** From now on takes this many at a time. */
  resize(concurrency: number): void;
}

/** What becomes of a ticket that a loop holds. */
export async function verdictOf(
  { handle, onError }: TicketWorkerOptions,
  job: Job,
  { token, grant }: Pick<HeldTicket, 'token' | 'grant'>,
): Promise<Verdict> {
  try {
    const ticket = ticketSchema.parse(job.data);
    return await handle({ ticket, token, grant, traceMetadata: job.opts.telemetry?.metadata });
  } catch (error) {
    onError(error);
    return { kind: 'later', delayMs: retryThrownMs };
  }
}
