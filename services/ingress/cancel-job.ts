import type { Settings } from '#config/schema.ts';
import type { TerminalState } from '#shared/contracts/job.ts';
import { errorSettlement } from '#shared/jobs/error-settlement.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import { wakeWaiting } from '#shared/jobs/wake-waiting.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { announce } from '#shared/results/announce.ts';

export interface CancelJobParts {
  readonly settings: Settings;
  jobs: JobStore;
  redis: RedisConnection;
  queueOf: (provider: string, pool: string) => PoolQueue | undefined;
}

/** A waiting job may begin between our look and our settlement, and the other way round; each round sees the newer state. */
const rounds = 3;

/**
 * Cancels a job: a waiting one ends here and now, a running one is asked to stop and ends when its worker has settled
 * what it cost. Returns the state it is in, or `requested`.
 */
export async function cancelJob(
  parts: CancelJobParts,
  tenant: string,
  jobId: string,
): Promise<'requested' | TerminalState> {
  for (let round = 0; round < rounds; round++) {
    const answer = await parts.jobs.requestCancel(tenant, jobId);
    if (answer === 'shared') throw new SluiceError('job_shared', { fields: { job: jobId } });
    if (answer === 'gone') throw new SluiceError('job_not_found', { fields: { job: jobId } });
    if (answer !== 'queued') return answer;
    if (await cancelWaiting(parts, tenant, jobId)) return 'cancelled';
  }
  return 'requested';
}

/** Ends a job if no worker runs it; whether it did. */
export async function cancelWaiting(
  { jobs, settings, redis, queueOf }: CancelJobParts,
  tenant: string,
  jobId: string,
  state: TerminalState = 'cancelled',
  error = new SluiceError('cancelled'),
): Promise<boolean> {
  const job = await jobs.view(tenant, jobId);
  if (!job) return false;
  const subject = { ...job, jobId, attempts: job.attempt, queueMs: 0, providerMs: 0 };
  const settlement = errorSettlement(subject, state, error);
  const settled = await jobs.settle({ ...settlement, onlyWaiting: true, requestBlob: job.requestBlob });
  if (settled.kind !== 'settled') return false;
  await announce(redis, settings.replies, settled.waiters, settlement.head, settlement.body);
  // Without its ticket the job takes no place in the queue; should this fail, `begin` finds the job settled.
  await queueOf(job.provider, job.pool)
    ?.remove(jobId)
    .catch(() => undefined);
  if (settled.woken.length > 0)
    await wakeWaiting(
      { jobs, queueOf: ({ provider, pool }) => queueOf(provider, pool) },
      tenant,
      settled.woken,
    ).catch(() => undefined);
  return true;
}
