import { jobsSince } from '#shared/jobs/job-list.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { isId, isJobId } from '#shared/kernel/ids.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { BatchLines, type JobSource, TenantJobs } from './job-sources.ts';
import type { ClientMessage } from './messages.ts';

type Subscribe = Extract<ClientMessage, { type: 'subscribe' }>;

/**
 * The jobs that a client wants to follow without naming them: those of a batch, or all of its tenant.
 *
 * @throws SluiceError batch_not_found, job_not_found or invalid_request
 */
export async function openSource(
  parts: IngressParts,
  tenant: string,
  { batch, after }: Subscribe,
): Promise<JobSource> {
  if (batch === undefined) return tenantJobs(parts, tenant, after);
  if (after !== undefined && typeof after !== 'number') throw refused('with a batch, the number of a line');
  const { redis, batches, clock, settings } = parts;
  if (!isId('batch', batch) || !(await batches.view(tenant, batch)))
    throw new SluiceError('batch_not_found', { fields: { batch }, param: 'batch' });
  const everyMs = settings.sockets.watch_ms;
  const linesOpenMax = settings.batches.lines_open_per_batch_max;
  return new BatchLines({ redis, batches, clock, everyMs, linesOpenMax }, tenant, batch, after ?? 0);
}

async function tenantJobs(
  parts: IngressParts,
  tenant: string,
  after: Subscribe['after'],
): Promise<JobSource> {
  if (after === undefined) {
    const { nowMs } = await jobsSince(parts.redis, tenant, 0, 1);
    return new TenantJobs(parts, tenant, nowMs, []);
  }
  if (typeof after !== 'string' || !isJobId(after)) throw refused('with all, the id of a job');
  const job = await parts.jobs.view(tenant, after);
  if (!job) throw new SluiceError('job_not_found', { fields: { job: after }, param: 'after' });
  return new TenantJobs(parts, tenant, job.createdMs, [after]);
}

const refused = (reason: string) =>
  new SluiceError('invalid_request', { fields: { reason: `after: ${reason}` }, param: 'after' });
