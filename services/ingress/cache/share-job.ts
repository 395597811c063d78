import type { Settings } from '#config/schema.ts';
import { answeredFields, requestDigest } from '#shared/cache/canonical-request.ts';
import { leaveTogether, type Share, type Together } from '#shared/jobs/shared-jobs.ts';
import { leaveJob } from '../accept-job.ts';
import type { Submission } from '../admit-call.ts';
import { cancelJob } from '../cancel-job.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { sharedUnder } from './cache-plan.ts';

/**
 * By what identical calls that are held open find the job of the first of them. A call that wants something for its job
 * alone (a webhook, a time, an Idempotency-Key) has its own. Whoever comes first pays: its key, its limits.
 */
export function togetherOf(settings: Settings, submission: Submission): Together | undefined {
  const under = sharedUnder(settings, submission, submission.cache);
  if (!under) return undefined;
  const { request, idempotencyKey, deadlineSeconds, runAtMs } = submission;
  const own = [request.webhook, idempotencyKey, deadlineSeconds, runAtMs];
  if (own.some((value) => value !== undefined)) return undefined;
  const { stream = 'whole', delivery, priority } = request;
  const apart = [under.namespace, stream, delivery, String(priority), String(request.outputCap)];
  const digest = requestDigest(request, answeredFields(request), ...apart);
  return { digest, readersMax: under.readersMax };
}

/**
 * A caller of a shared job hung up: the job is cancelled with the last of them, and goes on for the others. False when the
 * job is not shared.
 */
export async function leaveShared(
  parts: IngressParts,
  tenant: string,
  jobId: string,
  share: Share,
): Promise<boolean> {
  const left = await leaveTogether(parts.redis, tenant, jobId, share);
  if (left > 0) await leaveJob(parts, tenant, jobId);
  else if (left === 0) await cancelJob(parts, tenant, jobId);
  return left >= 0;
}
