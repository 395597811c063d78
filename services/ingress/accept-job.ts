import { createHash } from 'node:crypto';
import type { Settings } from '#config/schema.ts';
import type { JobRequest } from '#shared/contracts/job.ts';
import type { Accepted, AcceptOptions } from '#shared/jobs/job-store.ts';
import type { Share, Together } from '#shared/jobs/shared-jobs.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import { refusalOf } from '#shared/quotas/refusal.ts';
import type { Awaited, OutcomeWaiter } from '#shared/results/await-outcome.ts';
import type { EventFeed, Subscription } from '#shared/results/event-feed.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { inSpan, SpanKind, spans } from '#shared/telemetry/tracing.ts';
import type { Prices } from '#shared/tokens/price.ts';
import type { CacheAnswer } from './cache/cache-headers.ts';
import type { CacheWish } from './cache/cache-wish.ts';
import type { CacheHit, Consulted, ResponseCache } from './cache/response-cache.ts';
import { type CallQuotas, noQuotas, quotaHeaders, quotasOf, type TellQuotas } from './call-quotas.ts';
import type { CancelJobParts } from './cancel-job.ts';
import { makeRoom } from './make-room.ts';
import type { Copies } from './routing/copies.ts';
import type { StoreGuard } from './store-guard.ts';

export interface AcceptJobParts extends CancelJobParts {
  ingressId: string;
  /** As of now: read it for each call. */
  readonly settings: Settings;
  waiter: OutcomeWaiter;
  feed: EventFeed;
  storeGuard: StoreGuard;
  cache: ResponseCache;
  prices: Prices;
  copies: Copies;
  metrics: Metrics;
  clock: Clock;
  log: Logger;
}

/** What taking a job in needs when nobody awaits it here. */
type TakeParts = Omit<AcceptJobParts, 'waiter' | 'ingressId'>;

/** A validated call of an identified tenant. */
export interface Submission {
  tenant: string;
  request: JobRequest;
  idempotencyKey: string | undefined;
  /** Latest start, seconds from now. */
  deadlineSeconds: number | undefined;
  /** Earliest start, milliseconds since the epoch. */
  runAtMs: number | undefined;
  /** Hears how the caller's quotas stand, before it is taken in or refused. */
  tell?: TellQuotas | undefined;
  /** What the call says about the cache. */
  cache?: CacheWish | undefined;
  /** Set when it may share the job of an identical call, and others its own. */
  together?: Together | undefined;
  /** The same call with another model, for a budget that asks for it when it is exhausted. */
  withModel?: (model: string) => JobRequest;
  /** What was asked for, when another model is called instead. */
  asked?: JobRequest;
}

export interface AcceptedJob extends AcceptNotes {
  jobId: string;
  /** Whether an earlier call made the job: one with the same Idempotency-Key, or the same call. */
  joined: boolean;
}

interface AcceptNotes {
  cache?: CacheAnswer | undefined;
  /** This caller's part of a job that identical calls share. */
  share?: Share | undefined;
}

const queueFullRetryAfterMs = 1_000;
const drainingRetryAfterMs = 10_000;

/** accept → enqueue for a call that nobody awaits here. */
export async function acceptJob(parts: AcceptJobParts, submission: Submission): Promise<AcceptedJob> {
  return inSpan(spans.accept, SpanKind.INTERNAL, { 'sluice.tenant': submission.tenant }, async () => {
    const accepted = await acceptOnce(parts, submission, newId('job'), undefined);
    if (accepted.kind === 'accepted') await enqueue(parts, submission, accepted);
    return { jobId: accepted.jobId, joined: accepted.kind === 'joined', ...accepted.notes };
  });
}

/** accept → enqueue for an awaited call: the wait is registered before the job can end. */
export async function acceptAwaitedJob(
  parts: AcceptJobParts,
  submission: Submission,
): Promise<AcceptedJob & { awaited: Awaited }> {
  return inSpan(spans.accept, SpanKind.INTERNAL, { 'sluice.tenant': submission.tenant }, async () => {
    const jobId = newId('job');
    const awaited = parts.waiter.expect(submission.tenant, jobId);
    try {
      const accepted = await acceptOnce(parts, submission, jobId, parts.ingressId);
      if (accepted.kind === 'accepted') {
        await enqueue(parts, submission, accepted);
        return { jobId, joined: false, ...accepted.notes, awaited };
      }
      awaited.cancel();
      return {
        jobId: accepted.jobId,
        joined: true,
        ...accepted.notes,
        awaited: await joinJob(parts, submission.tenant, accepted.jobId),
      };
    } catch (error) {
      awaited.cancel();
      throw error;
    }
  });
}

/** accept → enqueue for a streamed call: whoever reads it is registered before the job can begin. */
export async function acceptFollowedJob(
  parts: AcceptJobParts,
  submission: Submission,
): Promise<AcceptedJob & { subscription: Subscription }> {
  return inSpan(spans.accept, SpanKind.INTERNAL, { 'sluice.tenant': submission.tenant }, async () => {
    const { tenant } = submission;
    const jobId = newId('job');
    const subscription = parts.feed.follow(tenant, jobId);
    try {
      const accepted = await acceptOnce(parts, submission, jobId, parts.ingressId, true);
      if (accepted.kind === 'accepted') {
        await enqueue(parts, submission, accepted);
        return { jobId, joined: false, ...accepted.notes, subscription };
      }
      subscription.close();
      const joined = await followJob(parts, tenant, accepted.jobId);
      return { jobId: accepted.jobId, joined: true, ...accepted.notes, subscription: joined };
    } catch (error) {
      subscription.close();
      throw error;
    }
  });
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
  return inSpan(spans.accept, SpanKind.INTERNAL, { 'sluice.tenant': submission.tenant }, async () => {
    const accepted = await acceptOnce(parts, submission, jobId, waiter);
    if (accepted.kind === 'accepted') await enqueue(parts, submission, accepted);
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

type Recorded = Extract<Accepted, { kind: 'accepted' | 'joined' | 'together' }>;
type Taken = Extract<Accepted, { kind: 'accepted' | 'joined' }> & {
  notes: AcceptNotes;
  hit?: CacheHit | undefined;
};

/** Accepts a call; one that the cache can answer is a job like any other, which ends instead of being enqueued. */
async function acceptOnce(
  parts: TakeParts,
  submission: Submission,
  jobId: string,
  waiter: string | undefined,
  follows = false,
): Promise<Taken> {
  const { settings, storeGuard, jobs } = parts;
  const { tenant } = submission;
  storeGuard.refuseWhenFull();
  const consulted = await parts.cache.consult(submission);
  const { hit, order } = consulted ?? {};
  if (order) submission.request = { ...submission.request, cache: order };
  const quotas = hit?.isFree ? noQuotas : quotasOf(parts, tenant, submission.request);
  const { outputCap } = quotas;
  if (outputCap !== submission.request.outputCap) submission.request = { ...submission.request, outputCap };
  // What does not wait needs no place among those that do.
  const depthLimit = hit ? Number.MAX_SAFE_INTEGER : depthLimitOf(settings, submission);
  // What ends at once, or goes on with another model, is shared with nobody.
  const together = hit || submission.asked ? undefined : submission.together;
  const ask = (places: number, goneJob?: string) =>
    accept(parts, submission, quotas, { jobId, waiter, goneJob, follows, depthLimit: places, together });
  const admit = async (goneJob?: string) => {
    if (!hit) {
      refuseWhenDraining(settings, submission.request);
      await makeRoom(parts, tenant, submission.request);
    }
    return ask(depthLimit, goneJob);
  };
  // A pool may refuse what is new, and not what it has taken already. Without a place only that is found.
  const mayBeKnown =
    !hit && submission.idempotencyKey !== undefined && mayRefuse(settings, submission.request);
  const known = mayBeKnown ? await ask(0) : undefined;
  const accepted = known && known.kind !== 'queue_full' ? known : await admit();
  if (takeCheaperModel(submission, quotas, accepted))
    return acceptOnce(parts, submission, jobId, waiter, follows);
  // A free hit asked no quota: how the caller stands is looked up for its answer.
  const told = hit?.isFree ? { ...submission, tell: undefined } : submission;
  const isKnown = accepted.kind !== 'joined' || (await jobs.view(tenant, accepted.jobId)) !== undefined;
  // The key that outlived the record it points to is free again.
  const taken = refuseOrTake(parts, told, quotas, isKnown ? accepted : await admit(accepted.jobId));
  return withNotes(taken, consulted, together && { together, reader: jobId });
}

function withNotes(taken: Recorded, consulted: Consulted | undefined, share: Share | undefined): Taken {
  if (taken.kind === 'together') return { kind: 'joined', jobId: taken.jobId, notes: { share } };
  if (taken.kind === 'joined') return { ...taken, notes: {} };
  const { hit, status } = consulted ?? {};
  return { ...taken, hit, notes: { cache: status && { status, ageSeconds: hit?.from.ageSeconds }, share } };
}

/** Whether the pool of a call refuses calls, or ends others for them, at times. */
function mayRefuse({ providers }: Settings, { provider, pool }: JobRequest): boolean {
  const { mode, depth_max, on_full } = providers[provider]?.pools[pool] ?? {};
  return mode === 'draining' || (depth_max !== undefined && on_full !== 'block');
}

/** @throws SluiceError pool_draining */
function refuseWhenDraining({ providers }: Settings, { provider, pool }: JobRequest): void {
  if (providers[provider]?.pools[pool]?.mode !== 'draining') return;
  const fields = { pool: `${provider}/${pool}` };
  throw new SluiceError('pool_draining', { fields, retryAfterMs: drainingRetryAfterMs });
}

function accept(
  parts: TakeParts,
  submission: Submission,
  quotas: CallQuotas,
  asks: Pick<AcceptOptions, 'jobId' | 'waiter' | 'goneJob' | 'follows' | 'depthLimit' | 'together'>,
): Promise<Accepted> {
  const { settings, jobs } = parts;
  const { tenant, request, idempotencyKey, runAtMs, asked = request } = submission;
  const deadlineSeconds = submission.deadlineSeconds ?? settings.jobs.deadline_max_seconds;
  const idempotency =
    idempotencyKey === undefined
      ? undefined
      : {
          keyHash: sha256(idempotencyKey),
          fingerprint: sha256(`${asked.endpoint}\n${asked.route?.asked ?? asked.model}\n${asked.body}`),
        };
  return jobs.accept({
    ...asks,
    tenant,
    request,
    idempotency,
    runAtMs,
    keyDepthLimit: quotas.keyDepthLimit,
    quotas: quotas.text,
    deadlineMs: deadlineSeconds * 1_000,
  });
}

/** Whether the call goes on, once, with the model that its exhausted budget names. */
function takeCheaperModel(submission: Submission, { charges }: CallQuotas, accepted: Accepted): boolean {
  const model = accepted.kind === 'limited' ? charges[accepted.index]?.limit.model : undefined;
  if (model === undefined || !submission.withModel || submission.asked) return false;
  submission.asked = submission.request;
  submission.request = submission.withModel(model);
  return true;
}

/** @throws SluiceError invalid_key when the tenant has left the configuration since it was identified */
function depthLimitOf(
  { customers, routing }: Settings,
  { tenant, request }: Pick<Submission, 'tenant' | 'request'>,
): number {
  const customer = customers[tenant];
  if (!customer) throw new SluiceError('invalid_key');
  const { max_queue_depth } = customer;
  return request.isCopy ? Math.floor(max_queue_depth * routing.mirror_depth_share) : max_queue_depth;
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

function refuseOrTake(
  { settings, metrics }: TakeParts,
  { tenant, request, tell }: Submission,
  quotas: CallQuotas,
  accepted: Accepted,
): Recorded {
  tell?.(quotaHeaders(settings, tenant, request, quotas, accepted));
  switch (accepted.kind) {
    case 'accepted':
      metrics.jobsAccepted.inc({
        tenant: metrics.tenantLabel(tenant),
        pool: `${request.provider}/${request.pool}`,
      });
      return accepted;
    case 'joined':
      return accepted;
    case 'together':
      metrics.callsShared.inc({ tenant: metrics.tenantLabel(tenant) });
      return accepted;
    case 'mismatch':
      throw new SluiceError('idempotency_mismatch', { fields: { job: accepted.jobId } });
    case 'limited':
    case 'too_large':
    case 'crowded':
      throw refusalOf(quotas.charges, accepted);
    case 'queue_full': {
      const limit = accepted.ofKey ? quotas.keyDepthLimit! : depthLimitOf(settings, { tenant, request });
      throw new SluiceError('queue_full', {
        fields: { axis: accepted.ofKey ? 'key' : 'tenant', current: accepted.depth, limit },
        retryAfterMs: queueFullRetryAfterMs,
      });
    }
  }
}

/** Takes in the copy of a call as a job that nobody awaits; its fate is its own. */
function sendCopy(parts: TakeParts, tenant: string, mirror: JobRequest, jobId: string): void {
  const request = { ...mirror, metadata: { ...mirror.metadata, mirror_of: jobId } };
  const plain = { idempotencyKey: undefined, deadlineSeconds: undefined, runAtMs: undefined };
  const submission: Submission = { tenant, request, ...plain };
  parts.copies.send(async () => {
    const accepted = await acceptOnce(parts, submission, newId('job'), undefined);
    if (accepted.kind === 'accepted') await enqueue(parts, submission, accepted);
  });
}

/**
 * Puts the ticket into the pool's queue. The job is durable already: should the queue be away just now, the caller is
 * not told to come back, and the sweeper enqueues it.
 */
async function enqueue(
  parts: TakeParts,
  submission: Submission,
  { jobId, deadlineMs, waitMs = 0, hit }: Extract<Taken, { kind: 'accepted' }>,
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
