import type { Attempt } from '#shared/contracts/job.ts';
import { heldLookMs, leavesHeld } from '#shared/contracts/route.ts';
import { moveWaitingJob } from '#shared/jobs/abandon.ts';
import type { JobView } from '#shared/jobs/job-record.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { PoolQueues } from '#shared/queue/pool-queues.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import type { PoolHealth } from './pool-health.ts';

export interface MoveWaitingParts {
  redis: RedisConnection;
  queues: PoolQueues;
  health: PoolHealth;
  isConfigured: (id: PoolId) => boolean;
  metrics: Pick<Metrics, 'moved'>;
}

/** When a job came to the pool that it waits in. */
const arrivedMs = ({ arrivedMs, createdMs, runAtMs }: JobView) =>
  Math.max(arrivedMs ?? createdMs, runAtMs ?? 0);

/** When the sweeper should look at a job again on account of its route; undefined: as at any other. */
export function nextLookMs(job: JobView, nowMs: number): number | undefined {
  const { route, target } = job;
  if (!route) return undefined;
  const looks: number[] = [];
  if (route.timeoutMs !== undefined) looks.push(job.createdMs + route.timeoutMs);
  if (target + 1 < route.targets.length) {
    const waitedMs = nowMs - arrivedMs(job);
    if (route.waitOverMs !== undefined)
      looks.push(waitedMs < route.waitOverMs ? arrivedMs(job) + route.waitOverMs : nowMs + route.waitOverMs);
    // The longer it has waited, the less often: looks grow with the logarithm of the wait.
    if (leavesHeld(route)) looks.push(nowMs + Math.max(heldLookMs, waitedMs / 2));
  }
  return looks.length > 0 ? Math.min(...looks) : undefined;
}

/** Whether a waiting job has used up all the time that its route gives it. */
export const isTimedOut = ({ route, createdMs }: JobView, nowMs: number) =>
  route?.timeoutMs !== undefined && createdMs + route.timeoutMs <= nowMs;

/**
 * Moves a waiting job on when its route says so: it has waited too long where it is, or its pool is left alone after
 * failures, cooled for its quota or has been removed (`gone`). It goes to the next target that takes calls; while there is none it stays.
 */
export async function moveWaiting(
  parts: MoveWaitingParts,
  job: JobView,
  nowMs: number,
  gone: boolean,
): Promise<boolean> {
  const { route, state, target, tenant, id: jobId } = job;
  if (!route || state !== 'queued' || target + 1 >= route.targets.length) return false;
  const waitedMs = nowMs - arrivedMs(job);
  if (waitedMs < 0) return false;
  const tooLong = route.waitOverMs !== undefined && waitedMs >= route.waitOverMs;
  const result = gone ? 'pool_removed' : tooLong ? 'wait_over' : await heldBy(parts, job);
  if (result === undefined) return false;
  const to = await nextTarget(parts, job);
  if (to === undefined) return false;
  const next = route.targets[to]!;
  const attempt: Attempt = {
    attempt: job.attempt,
    provider: job.provider,
    pool: job.pool,
    model: job.model,
    credential: '',
    started_at: arrivedMs(job),
    duration_ms: waitedMs,
    status: null,
    result,
  };
  const place = { tenant, jobId, from: target };
  const story = { attempt, waitReason: 'fallback' };
  if (!(await moveWaitingJob(parts.redis, place, { to, target: next }, story))) return false;
  parts.metrics.moved.inc({ pool: `${job.provider}/${job.pool}`, result });
  if (next.provider === job.provider && next.pool === job.pool) return true;
  const { priority, deadlineMs } = job;
  const ticket = { priority, tokens: next.tokens, delayMs: 0, deadlineMs };
  await parts.queues.open(next).enqueue({ tenant, job: jobId }, ticket);
  // One that a worker takes just now finds that its job has moved.
  await parts.queues.of(job)?.remove(jobId);
  return true;
}

/** Why the pool takes no calls, if that is a reason to leave it. */
async function heldBy(
  { health }: MoveWaitingParts,
  job: JobView,
): Promise<'breaker_open' | 'cooldown' | undefined> {
  if (!leavesHeld(job.route!)) return undefined;
  const { on } = job.route!;
  const { isOpen, isHeld } = await health.of(job);
  if (isOpen) return on.includes('breaker_open') ? 'breaker_open' : undefined;
  return isHeld && on.includes('quota') ? 'cooldown' : undefined;
}

/** The first of the targets that follow whose pool takes calls. */
async function nextTarget(
  { health, isConfigured }: MoveWaitingParts,
  { route, target }: JobView,
): Promise<number | undefined> {
  for (let to = target + 1; to < route!.targets.length; to++) {
    const next = route!.targets[to]!;
    if (isConfigured(next) && !(await health.of(next)).isHeld) return to;
  }
  return undefined;
}
