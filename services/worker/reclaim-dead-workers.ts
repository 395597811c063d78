import { z } from 'zod';
import type { JobStore } from '#shared/jobs/job-store.ts';
import { isProvenDead, type ProcessPresence } from '#shared/kernel/process-presence.ts';
import type { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

export interface ReclaimParts {
  workerId: string;
  presence: ProcessPresence;
  jobs: JobStore;
  redis: RedisConnection;
  queueOf: (provider: string, pool: string) => PoolQueue | undefined;
  metrics: Metrics;
}

const presenceSchema = z.object({ host: z.string(), pid: z.number().int(), startTicks: z.string() });
/** Unfinished jobs of one tenant that are looked through for a dead worker's. */
const openJobsMax = 1_000_000;
const atOnce = 200;

/** Enters this worker into the register of workers; the pair of `withdrawPresence`. */
export async function registerPresence({ redis, workerId, presence }: ReclaimParts): Promise<void> {
  await redis.hset(keys.workers(), workerId, JSON.stringify(presence));
}

export async function withdrawPresence({ redis, workerId }: ReclaimParts): Promise<void> {
  await redis.hdel(keys.workers(), workerId);
}

/**
 * Takes the jobs of workers that are proven dead (killed on this machine) and gives their tickets back, so that they
 * run again at once instead of after the lease. On other machines only the end of a lease tells.
 */
export async function reclaimDeadWorkers(parts: ReclaimParts): Promise<void> {
  const workers = await parts.redis.hgetall(keys.workers());
  for (const [workerId, text] of Object.entries(workers)) {
    if (workerId === parts.workerId || !isProvenDead(presenceSchema.parse(JSON.parse(text)), parts.presence))
      continue;
    for (const tenant of await parts.jobs.tenants()) await reclaimFrom(parts, workerId, tenant);
    await parts.redis.hdel(keys.workers(), workerId);
  }
}

async function reclaimFrom(parts: ReclaimParts, deadWorker: string, tenant: string): Promise<void> {
  const open = await parts.jobs.openJobs(tenant, openJobsMax);
  for (let from = 0; from < open.length; from += atOnce) {
    await Promise.all(
      open.slice(from, from + atOnce).map((jobId) => reclaimJob(parts, deadWorker, tenant, jobId)),
    );
  }
}

async function reclaimJob(
  { jobs, metrics, queueOf }: ReclaimParts,
  deadWorker: string,
  tenant: string,
  jobId: string,
): Promise<void> {
  const token = await jobs.reclaim(tenant, jobId, deadWorker);
  if (token === undefined) return;
  metrics.swept.inc({ action: 'reclaimed' });
  const job = await jobs.view(tenant, jobId);
  // BullMQ refuses when the ticket is no longer that worker's; then it is on its way already.
  await queueOf(job?.provider ?? '', job?.pool ?? '')
    ?.giveBack(jobId, token)
    .catch(() => undefined);
}
