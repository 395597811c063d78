import { processPresenceSchema } from '#shared/contracts/process-presence.ts';
import type { Ticket } from '#shared/contracts/ticket.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import { isProvenDead, type ProcessPresence } from '#shared/kernel/process-presence.ts';
import type { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { PoolQueues } from '#shared/queue/pool-queues.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { strike } from './worker-register.ts';

export interface ReclaimParts {
  workerId: string;
  presence: ProcessPresence;
  jobs: JobStore;
  redis: RedisConnection;
  queues: PoolQueues;
  metrics: Metrics;
}

/**
 * Takes the tickets of workers that are proven dead (killed on this machine) and their jobs' leases, so that they run
 * again at once instead of after the lease. On other machines only the end of a lease tells.
 */
export async function reclaimDeadWorkers(parts: ReclaimParts): Promise<void> {
  const workers = await parts.redis.hgetall(keys.workers());
  for (const [workerId, text] of Object.entries(workers)) {
    if (
      workerId === parts.workerId ||
      !isProvenDead(processPresenceSchema.parse(JSON.parse(text)), parts.presence)
    )
      continue;
    for (const queue of parts.queues.all()) await reclaimFrom(parts, workerId, queue);
    await strike(parts.redis, workerId);
  }
}

/** Record first: a ticket that is handed out again before its lease has ended would have to wait. */
async function reclaimFrom(
  { jobs, metrics }: ReclaimParts,
  deadWorker: string,
  queue: PoolQueue,
): Promise<void> {
  const tickets = await queue.heldBy(deadWorker);
  const giveBack = async ({ tenant, job }: Ticket) => {
    await jobs.reclaim(tenant, job, deadWorker);
    await queue.giveBack(job, deadWorker);
    metrics.swept.inc({ action: 'reclaimed' });
  };
  const given = await Promise.allSettled(tickets.map(giveBack));
  // What could not be given back is tried again with the next look, for the worker stays in the register.
  const failed = given.find((each) => each.status === 'rejected');
  if (failed) throw failed.reason;
}
