import type { Settings } from '#config/schema.ts';
import { isTerminal } from '#shared/contracts/job.ts';
import { firstLookMs } from '#shared/contracts/route.ts';
import { forgetOldest } from '#shared/jobs/job-list.ts';
import type { JobView } from '#shared/jobs/job-record.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { PoolQueues } from '#shared/queue/pool-queues.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import type { RemovedPools } from './removed-pools.ts';
import { isTimedOut, moveWaiting, nextLookMs } from './routing/move-waiting.ts';
import type { PoolHealth } from './routing/pool-health.ts';
import { failureOf, type OutcomeSettler } from './settle-outcome.ts';
import { redisNowMs } from './worker-register.ts';

export interface SweepParts {
  workerId: string;
  jobs: JobStore;
  redis: RedisConnection;
  queues: PoolQueues;
  removed: RemovedPools;
  health: PoolHealth;
  settler: OutcomeSettler;
  settings: Settings['jobs'];
  clock: Clock;
  metrics: Metrics;
  onError: (error: unknown) => void;
}

type Action = 'none' | 'enqueued' | 'moved' | 'expired' | 'forgotten' | 'pool_removed';

/** States of a BullMQ job in which the ticket is on its way. */
const onItsWay = new Set(['waiting', 'prioritized', 'active', 'delayed']);
const leasePeriods = 3;
const forgetBatch = 20;
/** Jobs looked at at the same time: a whole batch at once would hold up the calls of this process, and Redis. */
const looksAtOnce = 8;

/**
 * Looks at unfinished jobs that are due for a look and mends what fell between two steps: a job without a ticket gets
 * one, a job past its deadline expires, a job whose pool was removed fails. Every step it takes is the ordinary one;
 * only one process sweeps at a time.
 */
export async function sweepJobs(parts: SweepParts): Promise<void> {
  if (!(await takeSweepLease(parts))) return;
  for (const id of await parts.removed.find()) await emptyRemoved(parts, id);
  for (const tenant of await parts.jobs.tenants()) {
    const { nowMs, jobIds } = await parts.jobs.due(tenant);
    await eachOf(jobIds, (jobId) => sweepJob(parts, tenant, jobId, nowMs));
    await forgetOldest(parts.redis, tenant, forgetBatch);
  }
}

/** One job that cannot be mended must not keep the others from it. */
async function sweepJob(parts: SweepParts, tenant: string, jobId: string, nowMs: number): Promise<void> {
  try {
    const action = await mendJob(parts, tenant, jobId, nowMs);
    if (action !== 'none') parts.metrics.swept.inc({ action });
  } catch (error) {
    parts.onError(error);
    await parts.jobs.lookAgain(tenant, jobId, nowMs + parts.settings.sweep_first_ms).catch(parts.onError);
  }
}

async function takeSweepLease({ redis, workerId, settings }: SweepParts): Promise<boolean> {
  const key = keys.sweepLease();
  const holdMs = settings.sweep_ms * leasePeriods;
  if ((await redis.set(key, workerId, 'PX', holdMs, 'NX')) === 'OK') return true;
  if ((await redis.get(key)) !== workerId) return false;
  await redis.pexpire(key, holdMs);
  return true;
}

/** Some of what waits in a removed pool; the pool is forgotten when nothing does. */
async function emptyRemoved(parts: SweepParts, id: PoolId): Promise<void> {
  const tickets = await parts.queues.open(id).waiting(parts.settings.sweep_batch);
  if (tickets.length === 0) return parts.removed.forget(id);
  const nowMs = await redisNowMs(parts.redis);
  await eachOf(tickets, ({ tenant, job }) => sweepJob(parts, tenant, job, nowMs));
}

async function eachOf<T>(all: readonly T[], look: (each: T) => Promise<void>): Promise<void> {
  const left = all.values();
  const lookOn = async () => {
    for (const each of left) await look(each);
  };
  await Promise.all(Array.from({ length: looksAtOnce }, lookOn));
}

async function mendJob(parts: SweepParts, tenant: string, jobId: string, nowMs: number): Promise<Action> {
  const { jobs, settings, settler } = parts;
  const job = await jobs.view(tenant, jobId);
  if (!job || isTerminal(job.state)) {
    await jobs.lookAgain(tenant, jobId, undefined);
    return 'forgotten';
  }
  const id = { provider: job.provider, pool: job.pool };
  const isGone = !isLeased(job, nowMs) && (await parts.removed.has(id, job.createdMs));
  if (job.route && (await moveOn(parts, job, nowMs, isGone))) return 'moved';
  if (isGone) {
    const fields = { pool: `${id.provider}/${id.pool}` };
    await settler.settleUnstarted(tenant, jobId, id, failureOf('failed', 'pool_removed', fields));
    await parts.queues.open(id).remove(jobId);
    return 'pool_removed';
  }
  if (job.state === 'queued' && job.attempt === 0 && job.deadlineMs <= nowMs) {
    await settler.settleUnstarted(tenant, jobId, id, failureOf('expired', 'expired'));
    await parts.queues.of(id)?.remove(jobId);
    return 'expired';
  }
  if (job.state === 'queued' && isTimedOut(job, nowMs)) {
    const limit = job.route!.timeoutMs!;
    await settler.settleUnstarted(tenant, jobId, id, failureOf('failed', 'route_timeout', { limit }));
    await parts.queues.of(id)?.remove(jobId);
    return 'expired';
  }
  const action = await ensureTicket(parts, job, id, nowMs);
  const ageMs = nowMs - job.createdMs;
  const pauseMs = Math.min(settings.sweep_max_ms, Math.max(settings.sweep_first_ms, ageMs));
  const beforeDeadlineMs = job.attempt === 0 && job.deadlineMs > nowMs ? job.deadlineMs - nowMs : pauseMs;
  const routeLookMs = nextLookMs(job, nowMs) ?? Number.POSITIVE_INFINITY;
  await jobs.lookAgain(tenant, jobId, Math.min(nowMs + pauseMs, nowMs + beforeDeadlineMs, routeLookMs));
  return action;
}

/** A job that its route sends on from where it waits; it is looked at again there. */
async function moveOn(parts: SweepParts, job: JobView, nowMs: number, gone: boolean): Promise<boolean> {
  const { redis, queues, health, removed, metrics, settings } = parts;
  const isConfigured = (id: PoolId) => removed.isConfigured(id);
  if (!(await moveWaiting({ redis, queues, health, metrics, isConfigured }, job, nowMs, gone))) return false;
  const lookMs = Math.min(settings.sweep_first_ms, firstLookMs(job.route!) ?? Number.POSITIVE_INFINITY);
  await parts.jobs.lookAgain(job.tenant, job.id, nowMs + lookMs);
  return true;
}

const isLeased = (job: JobView, nowMs: number) => job.state === 'running' && (job.leaseUntilMs ?? 0) > nowMs;

async function ensureTicket(
  { queues, removed }: SweepParts,
  job: JobView,
  id: PoolId,
  nowMs: number,
): Promise<Action> {
  const queue = queues.of(id);
  if (!queue || !removed.isConfigured(id) || isLeased(job, nowMs)) return 'none';
  if (onItsWay.has(await queue.state(job.id))) return 'none';
  // What BullMQ has left of an old ticket would make adding a new one a no-op.
  await queue.remove(job.id);
  const delayMs = Math.max(0, (job.notBeforeMs ?? job.runAtMs ?? 0) - nowMs);
  await queue.enqueue(
    { tenant: job.tenant, job: job.id },
    { priority: job.priority, tokens: job.tokens, delayMs, deadlineMs: job.deadlineMs },
  );
  return 'enqueued';
}
