import { createHash } from 'node:crypto';
import type { Settings } from '#config/schema.ts';
import type { JobRequest } from '#shared/contracts/job.ts';
import type { Accepted } from '#shared/jobs/job-store.ts';
import type { Share, Together } from '#shared/jobs/shared-jobs.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { refusalOf } from '#shared/quotas/refusal.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import type { Prices } from '#shared/tokens/price.ts';
import type { CacheAnswer } from './cache/cache-headers.ts';
import type { CacheWish } from './cache/cache-wish.ts';
import type { CacheHit, Consulted, ResponseCache } from './cache/response-cache.ts';
import { type CallQuotas, noQuotas, quotaHeaders, quotasOf, type TellQuotas } from './call-quotas.ts';
import type { CancelJobParts } from './cancel-job.ts';
import { makeRoom } from './make-room.ts';
import type { StoreGuard } from './store-guard.ts';

export interface AdmitCallParts extends CancelJobParts {
  /** As of now: read it for each call. */
  readonly settings: Settings;
  storeGuard: StoreGuard;
  cache: ResponseCache;
  prices: Prices;
  metrics: Metrics;
}

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

/** Whom the job of a call is made for. */
export interface Caller {
  /** The id of the job, if it is made now. */
  jobId: string;
  /** The ingress that is told how the job ends. */
  waiter: string | undefined;
  /** Whether that ingress is told how far the job is, too. */
  follows?: boolean;
}

export interface AdmissionNotes {
  cache?: CacheAnswer | undefined;
  /** This caller's part of a job that identical calls share. */
  share?: Share | undefined;
}

type Recorded = Extract<Accepted, { kind: 'accepted' | 'joined' | 'together' }>;
/** The call has a job: a new one, which is to be enqueued, or one that an earlier call made. */
export type Admitted = Extract<Accepted, { kind: 'accepted' | 'joined' }> & {
  notes: AdmissionNotes;
  hit?: CacheHit | undefined;
};

const queueFullRetryAfterMs = 1_000;
const drainingRetryAfterMs = 10_000;

/** A call on its way in: what it is held to, and what the cache has for it. */
interface Entry {
  submission: Submission;
  caller: Caller;
  quotas: CallQuotas;
  hit: CacheHit | undefined;
  together: Together | undefined;
}

/**
 * Makes the record of a call, once everything that may refuse it has been asked: the memory of the store, its quotas and
 * budgets, its pool, the depth of its tenant. One that the cache can answer is a job like any other, which ends instead
 * of being enqueued. What the call becomes on its way in (a cheaper model, a maximum of output) is left in `submission`.
 *
 * @throws SluiceError with what refuses it
 */
export async function admitCall(
  parts: AdmitCallParts,
  submission: Submission,
  caller: Caller,
): Promise<Admitted> {
  const { tenant } = submission;
  parts.storeGuard.refuseWhenFull();
  const consulted = await parts.cache.consult(submission);
  const { hit, order } = consulted ?? {};
  if (order) submission.request = { ...submission.request, cache: order };
  const quotas = hit?.isFree ? noQuotas : quotasOf(parts, tenant, submission.request);
  const { outputCap } = quotas;
  if (outputCap !== submission.request.outputCap) submission.request = { ...submission.request, outputCap };
  // What ends at once, or goes on with another model, is shared with nobody.
  const together = hit || submission.asked ? undefined : submission.together;
  const entry = { submission, caller, quotas, hit, together };
  const accepted = (await findKnown(parts, entry)) ?? (await enter(parts, entry));
  if (takeCheaperModel(submission, quotas, accepted)) return admitCall(parts, submission, caller);
  // The key that outlived the record it points to is free again.
  const isGone = accepted.kind === 'joined' && !(await parts.jobs.view(tenant, accepted.jobId));
  const latest = isGone ? await enter(parts, entry, accepted.jobId) : accepted;
  return withNotes(
    refuseOrTake(parts, entry, latest),
    consulted,
    together && { together, reader: caller.jobId },
  );
}

/** A pool may refuse what is new, and not what it has taken already: without a place only that is found. */
async function findKnown(parts: AdmitCallParts, entry: Entry): Promise<Accepted | undefined> {
  const { idempotencyKey, request } = entry.submission;
  if (entry.hit || idempotencyKey === undefined || !mayRefuse(parts.settings, request)) return undefined;
  const found = await record(parts, entry, 0);
  return found.kind === 'queue_full' ? undefined : found;
}

/** Makes the record if there is room. What does not wait needs no place among those that do. */
async function enter(parts: AdmitCallParts, entry: Entry, goneJob?: string): Promise<Accepted> {
  const { submission, hit } = entry;
  if (hit) return record(parts, entry, Number.MAX_SAFE_INTEGER, goneJob);
  refuseWhenDraining(parts.settings, submission.request);
  await makeRoom(parts, submission.tenant, submission.request);
  return record(parts, entry, depthLimitOf(parts.settings, submission), goneJob);
}

function withNotes(taken: Recorded, consulted: Consulted | undefined, share: Share | undefined): Admitted {
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

function record(
  { settings, jobs }: AdmitCallParts,
  { submission, caller, quotas, together }: Entry,
  depthLimit: number,
  goneJob?: string,
): Promise<Accepted> {
  const { tenant, request, idempotencyKey, runAtMs, asked = request } = submission;
  const { jobId, waiter, follows = false } = caller;
  const deadlineSeconds = submission.deadlineSeconds ?? settings.jobs.deadline_max_seconds;
  const idempotency =
    idempotencyKey === undefined
      ? undefined
      : {
          keyHash: sha256(idempotencyKey),
          fingerprint: sha256(`${asked.endpoint}\n${asked.route?.asked ?? asked.model}\n${asked.body}`),
        };
  return jobs.accept({
    ...{ tenant, jobId, waiter, follows, goneJob, together, request, idempotency, runAtMs, depthLimit },
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

/** Tells the caller how its quotas stand. @throws SluiceError with what refuses the call */
function refuseOrTake(
  { settings, metrics }: AdmitCallParts,
  { submission: { tenant, request, tell }, quotas, hit }: Entry,
  accepted: Accepted,
): Recorded {
  // A free hit asked no quota: how the caller stands is looked up for its answer.
  if (!hit?.isFree) tell?.(quotaHeaders(settings, tenant, request, quotas, accepted));
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
