import type { FastifyReply, FastifyRequest } from 'fastify';
import { type JobObject, toJobObject, type WaitExplanation } from '#shared/jobs/job-object.ts';
import type { JobView } from '#shared/jobs/job-record.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { IngressParts } from '../ingress-parts.ts';

/** How the caller reaches this API: as configured, or as it called. */
function baseUrlOf(parts: Pick<IngressParts, 'settings'>, request: FastifyRequest): string {
  return parts.settings.http.public_url?.replace(/\/+$/, '') ?? `${request.protocol}://${request.host}`;
}

/** @throws SluiceError job_not_found, also for a job of another tenant */
async function readJob(parts: IngressParts, request: FastifyRequest, jobId: string): Promise<JobView> {
  const job = await parts.jobs.view(request.identity.tenant, jobId);
  if (!job) throw new SluiceError('job_not_found', { fields: { job: jobId }, param: 'id' });
  return job;
}

/** The job as lists show it. @throws SluiceError job_not_found */
export async function readJobObject(
  parts: IngressParts,
  request: FastifyRequest,
  jobId: string,
): Promise<JobObject> {
  const job = await readJob(parts, request, jobId);
  return toJobObject(job, baseUrlOf(parts, request), parts.clock.nowMs());
}

/** What the pool says of a waiting job. Only an explanation: without one the job is shown all the same. */
async function explainWait(parts: IngressParts, job: JobView): Promise<WaitExplanation | undefined> {
  if (job.state !== 'queued') return undefined;
  const { provider, pool, tenant, id, tokens } = job;
  const pace = parts.models.startsPerSecond({ provider, pool }, tokens);
  return parts
    .queueOf(provider, pool)
    ?.explain(tenant, id, pace)
    .catch(() => undefined);
}

/** Why a job waits, as a streamed call is told. */
export async function readWaiting(
  parts: IngressParts,
  request: FastifyRequest,
  jobId: string,
): Promise<Partial<JobObject>> {
  const view = await readJob(parts, request, jobId);
  const waiting = await explainWait(parts, view);
  const job = toJobObject(view, baseUrlOf(parts, request), parts.clock.nowMs(), waiting);
  const { status, wait_reason, wait_quota, position, estimated_start } = job;
  const quota = wait_quota === null ? {} : { wait_quota };
  return { status, wait_reason, ...quota, position, estimated_start };
}

export async function sendJob(
  parts: IngressParts,
  request: FastifyRequest,
  reply: FastifyReply,
  status: number,
  jobId: string,
): Promise<FastifyReply> {
  const view = await readJob(parts, request, jobId);
  const waiting = await explainWait(parts, view);
  const job = toJobObject(view, baseUrlOf(parts, request), parts.clock.nowMs(), waiting);
  if (status === 202) reply.header('location', `/v1/jobs/${jobId}`);
  return reply.code(status).header('x-sluice-job-id', jobId).send(job);
}
