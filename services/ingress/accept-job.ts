import type { JobRequest } from '#shared/contracts/job.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import type { Awaited, OutcomeWaiter } from '#shared/results/await-outcome.ts';
import type { EventFeed, Subscription } from '#shared/results/event-feed.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import { inSpan, SpanKind, spans } from '#shared/telemetry/tracing.ts';
import {
  type AdmissionNotes,
  type AdmitCallParts,
  type Admitted,
  admitCall,
  type Caller,
  type Submission,
} from './admit-call.ts';
import type { Copies } from './routing/copies.ts';

export interface AcceptJobParts extends AdmitCallParts {
  ingressId: string;
  waiter: OutcomeWaiter;
  feed: EventFeed;
  copies: Copies;
  clock: Clock;
  log: Logger;
}

/** What taking a job in needs when nobody awaits it here. */
type TakeParts = Omit<AcceptJobParts, 'waiter' | 'ingressId'>;

export interface AcceptedJob extends AdmissionNotes {
  jobId: string;
  /** Whether an earlier call made the job: one with the same Idempotency-Key, or the same call. */
  joined: boolean;
}

/** accept → enqueue for a call that nobody awaits here. */
export async function acceptJob(parts: AcceptJobParts, submission: Submission): Promise<AcceptedJob> {
  const { kind, jobId, notes } = await takeIn(parts, submission, { jobId: newId('job'), waiter: undefined });
  return { jobId, joined: kind === 'joined', ...notes };
}

/** accept → enqueue for an awaited call: the wait is registered before the job can end. */
export async function acceptAwaitedJob(
  parts: AcceptJobParts,
  submission: Submission,
): Promise<AcceptedJob & { awaited: Awaited }> {
  const { tenant } = submission;
  const made = newId('job');
  const awaited = parts.waiter.expect(tenant, made);
  try {
    const caller = { jobId: made, waiter: parts.ingressId };
    const { kind, jobId, notes } = await takeIn(parts, submission, caller);
    if (kind === 'accepted') return { jobId, joined: false, ...notes, awaited };
    awaited.cancel();
    return { jobId, joined: true, ...notes, awaited: await joinJob(parts, tenant, jobId) };
  } catch (error) {
    awaited.cancel();
    throw error;
  }
}

/** accept → enqueue for a streamed call: whoever reads it is registered before the job can begin. */
export async function acceptFollowedJob(
  parts: AcceptJobParts,
  submission: Submission,
): Promise<AcceptedJob & { subscription: Subscription }> {
  const { tenant } = submission;
  const made = newId('job');
  const subscription = parts.feed.follow(tenant, made);
  try {
    const caller = { jobId: made, waiter: parts.ingressId, follows: true };
    const { kind, jobId, notes } = await takeIn(parts, submission, caller);
    if (kind === 'accepted') return { jobId, joined: false, ...notes, subscription };
    subscription.close();
    return { jobId, joined: true, ...notes, subscription: await followJob(parts, tenant, jobId) };
  } catch (error) {
    subscription.close();
    throw error;
  }
}

/**
 * accept → enqueue under an id that the caller derives from what it asks for, so that asking again makes no second job.
 * `waiter` hears of the end of a job that is made now.
 */
export async function acceptNamedJob(
  parts: TakeParts,
  submission: Submission,
  jobId: string,
  waiter: string,
): Promise<void> {
  await takeIn(parts, submission, { jobId, waiter });
}

/** Follows a job that exists already. @throws SluiceError job_not_found */
export async function followJob(
  parts: AcceptJobParts,
  tenant: string,
  jobId: string,
  rereadMs?: number,
): Promise<Subscription> {
  const subscription = parts.feed.follow(tenant, jobId, rereadMs);
  try {
    if ((await parts.jobs.join(tenant, jobId, parts.ingressId, true)) === 'gone') {
      throw new SluiceError('job_not_found', { fields: { job: jobId } });
    }
    return subscription;
  } catch (error) {
    subscription.close();
    throw error;
  }
}

/** The last reader of a job here has gone: its end and progress need not be told to this ingress any more. */
export async function leaveJob(parts: AcceptJobParts, tenant: string, jobId: string): Promise<void> {
  if (parts.feed.isFollowed(jobId) || parts.waiter.isAwaited(jobId)) return;
  await parts.jobs.leave(tenant, jobId, parts.ingressId).catch((error: unknown) => {
    // Only messages for nobody would follow from it.
    if (!(error instanceof SluiceError)) throw error;
  });
}

/** Waits for a job that exists already: an earlier call made it, or somebody asks for it by its id. */
export async function joinJob(parts: AcceptJobParts, tenant: string, jobId: string): Promise<Awaited> {
  const awaited = parts.waiter.expect(tenant, jobId);
  try {
    if ((await parts.jobs.join(tenant, jobId, parts.ingressId)) === 'gone') {
      throw new SluiceError('job_not_found', { fields: { job: jobId } });
    }
    // The announcement may have come between the accept and the registration above.
    await parts.waiter.readNow(tenant, jobId);
    return awaited;
  } catch (error) {
    awaited.cancel();
    throw error;
  }
}

/** A call becomes a job that is durable, and then a ticket in the queue of its pool. */
function takeIn(parts: TakeParts, submission: Submission, caller: Caller): Promise<Admitted> {
  return inSpan(spans.accept, SpanKind.INTERNAL, { 'sluice.tenant': submission.tenant }, async () => {
    const admitted = await admitCall(parts, submission, caller);
    if (admitted.kind === 'accepted') await enqueue(parts, submission, admitted);
    return admitted;
  });
}

/** Takes in the copy of a call as a job that nobody awaits; its fate is its own. */
function sendCopy(parts: TakeParts, tenant: string, mirror: JobRequest, jobId: string): void {
  const request = { ...mirror, metadata: { ...mirror.metadata, mirror_of: jobId } };
  const plain = { idempotencyKey: undefined, deadlineSeconds: undefined, runAtMs: undefined };
  const submission: Submission = { tenant, request, ...plain };
  parts.copies.send(async () => {
    await takeIn(parts, submission, { jobId: newId('job'), waiter: undefined });
  });
}

/**
 * Puts the ticket into the pool's queue. The job is durable already: should the queue be away just now, the caller is
 * not told to come back, and the sweeper enqueues it.
 */
async function enqueue(
  parts: TakeParts,
  submission: Submission,
  { jobId, deadlineMs, waitMs = 0, hit }: Extract<Admitted, { kind: 'accepted' }>,
): Promise<void> {
  const { queueOf, clock, log, cache } = parts;
  if (hit && waitMs === 0 && (await cache.settle(submission, jobId, hit))) return;
  const { tenant, request, runAtMs } = submission;
  if (request.mirror) sendCopy(parts, tenant, request.mirror, jobId);
  const delayMs = Math.max(waitMs, (runAtMs ?? 0) - clock.nowMs());
  try {
    await queueOf(request.provider, request.pool)!.enqueue(
      { tenant, job: jobId },
      { priority: request.priority, tokens: request.tokens, delayMs, deadlineMs },
    );
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    log.warn({ job: jobId, code: error.code }, 'accepted but not enqueued; the sweeper will');
  }
}
