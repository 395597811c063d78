import type { JobStore } from './job-store.ts';

export interface WakeParts {
  jobs: JobStore;
  queueOf: (id: {
    provider: string;
    pool: string;
  }) => { promote: (jobId: string) => Promise<void> } | undefined;
}

/**
 * Has jobs looked at that waited for a quota of which something is free now. Only a hint: whoever is not woken is looked
 * at after `quotas.recheck_ms`.
 */
export async function wakeWaiting(
  { jobs, queueOf }: WakeParts,
  tenant: string,
  jobIds: readonly string[],
): Promise<void> {
  const wake = async (jobId: string) => {
    const job = await jobs.view(tenant, jobId);
    if (job?.state === 'queued') await queueOf(job)?.promote(jobId);
  };
  await Promise.all([...new Set(jobIds)].map(wake));
}
