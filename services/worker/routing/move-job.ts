import type { RouteTarget } from '#shared/contracts/job.ts';
import { isTerminal } from '#shared/contracts/job.ts';
import { firstLookMs } from '#shared/contracts/route.ts';
import type { Ticket } from '#shared/contracts/ticket.ts';
import type { Abandoned, Move } from '#shared/jobs/abandon.ts';
import type { BegunJob, JobStore } from '#shared/jobs/job-store.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { PoolQueues } from '#shared/queue/pool-queues.ts';
import type { HeldTicket } from '#shared/queue/ticket-worker.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import type { StoreRetry } from '../store-retry.ts';

export interface MoveParts {
  id: PoolId;
  jobs: JobStore;
  queues: Pick<PoolQueues, 'open'>;
  storeRetry: StoreRetry;
  metrics: Pick<Metrics, 'moved'>;
}

const isSamePool = (id: PoolId, target: RouteTarget) =>
  id.provider === target.provider && id.pool === target.pool;

/**
 * A failed job goes on at another target: the record says so first, then it gets its ticket in the other pool, and the
 * caller completes the one here. After a crash between two of these steps the ticket here finds that the job has moved
 * (`followMoved`), or the sweeper finds it without a ticket; each step may be repeated. False when it stays in this pool.
 */
export async function moveJob(
  { id, jobs, queues, storeRetry, metrics }: MoveParts,
  { ticket, token }: HeldTicket,
  job: BegunJob,
  move: Move,
  story: Pick<Abandoned, 'attempt' | 'wasted'>,
  nowMs: number,
): Promise<boolean> {
  const { tenant, job: jobId } = ticket;
  const abandoned = { ...story, refusal: false, waitReason: 'fallback', delayMs: 0, moved: move };
  await storeRetry.run(() => jobs.abandon(tenant, jobId, token, abandoned));
  metrics.moved.inc({ pool: `${id.provider}/${id.pool}`, result: story.attempt.result });
  const lookMs = firstLookMs(job.route!);
  if (lookMs !== undefined) await storeRetry.run(() => jobs.lookAgain(tenant, jobId, nowMs + lookMs));
  if (isSamePool(id, move.target)) return false;
  const { tokens } = move.target;
  const place = { priority: ticket.class ?? 0, tokens, delayMs: 0, deadlineMs: job.deadlineMs };
  await storeRetry.run(() => queues.open(move.target).enqueue({ tenant, job: jobId }, place));
  return true;
}

/** The ticket of a job that is to be run in another pool: makes sure that it has one there. */
export async function followMoved(
  { jobs, queues, storeRetry }: MoveParts,
  { tenant, job: jobId }: Ticket,
): Promise<void> {
  const job = await storeRetry.run(() => jobs.view(tenant, jobId));
  if (!job || isTerminal(job.state)) return;
  const { priority, tokens, deadlineMs } = job;
  const place = { priority, tokens, delayMs: 0, deadlineMs };
  await storeRetry.run(() => queues.open(job).enqueue({ tenant, job: jobId }, place));
}
