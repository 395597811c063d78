import type { FastifyReply, FastifyRequest } from 'fastify';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { type JobObject, toJobObject } from '../job-object.ts';

/** How the caller reaches this API: as configured, or as it called. */
function baseUrlOf(parts: Pick<IngressParts, 'settings'>, request: FastifyRequest): string {
  return parts.settings.http.public_url?.replace(/\/+$/, '') ?? `${request.protocol}://${request.host}`;
}

/** @throws SluiceError job_not_found, also for a job of another tenant */
export async function readJobObject(
  parts: IngressParts,
  request: FastifyRequest,
  jobId: string,
): Promise<JobObject> {
  const job = await parts.jobs.view(request.identity.tenant, jobId);
  if (!job) throw new SluiceError('job_not_found', { fields: { job: jobId }, param: 'id' });
  return toJobObject(job, baseUrlOf(parts, request), parts.clock.nowMs());
}

export async function sendJob(
  parts: IngressParts,
  request: FastifyRequest,
  reply: FastifyReply,
  status: number,
  jobId: string,
): Promise<FastifyReply> {
  const job = await readJobObject(parts, request, jobId);
  if (status === 202) reply.header('location', `/v1/jobs/${jobId}`);
  return reply.code(status).header('x-sluice-job-id', jobId).send(job);
}
