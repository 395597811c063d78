import type { Settings } from '#config/schema.ts';
import { JobStore, recordLifeMs } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { ownPresence } from '#shared/kernel/process-presence.ts';
import type { Random } from '#shared/kernel/random.ts';
import { ClaimLoop } from '#shared/queue/claim-loop.ts';
import { poolIds } from '#shared/queue/pool-ids.ts';
import { PoolQueue } from '#shared/queue/pool-queue.ts';
import { grantTimingOf, poolSettingsOf, tenantSettingsOf } from '#shared/queue/pool-settings.ts';
import { StockLoop } from '#shared/queue/stock-loop.ts';
import type { TicketWorker, TicketWorkerOptions } from '#shared/queue/ticket-worker.ts';
import { openConnections, openRedis, type RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { announce } from '#shared/results/announce.ts';
import { EventLog } from '#shared/results/event-log.ts';
import { loggedLifecycle } from '#shared/telemetry/logged-lifecycle.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { queueTelemetry } from '#shared/telemetry/tracing.ts';
import { ProviderClient } from './http/provider-client.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { LimitWatch } from './limits/limit-watch.ts';
import {
  type ReclaimParts,
  reclaimDeadWorkers,
  registerPresence,
  withdrawPresence,
} from './reclaim-dead-workers.ts';
import { type RunJobParts, runJob } from './run-job.ts';
import { SendWindow } from './send-window.ts';
import { OutcomeSettler } from './settle-outcome.ts';
import { StoreRetry } from './store-retry.ts';
import type { DeltaLogParts } from './streams/delta-log.ts';
import { StreamedAttempts } from './streams/streamed-attempts.ts';
import { SuspectPlace } from './suspect-place.ts';
import { type SweepParts, sweepJobs } from './sweep-jobs.ts';

export interface WorkerAppOptions {
  settings: Settings;
  redisUrl: string;
  /** Which pools this process serves, as `provider/pool` with `*` at the end of either part. */
  pools: readonly string[];
  log: Logger;
  metrics: Metrics;
  clock: Clock;
  random: Random;
}

export interface WorkerApp extends Service {
  /** Rejects when the store cannot be written. */
  readonly probe: () => Promise<void>;
}

const readinessTtlMs = 60_000;

/** A worker process: drains its pools. `start` resolves when it takes tickets. */
export function createWorkerApp(options: WorkerAppOptions): WorkerApp {
  const { settings, redisUrl, log, clock } = options;
  const workerId = newId('worker');
  const redis = openRedis(redisUrl, settings.redis, 'commands', workerId);
  const lifecycle = loggedLifecycle(settings, clock, log);
  return {
    name: 'worker',
    probe: async () => void (await redis.set(keys.readiness(workerId), '1', 'PX', readinessTtlMs)),
    start: async () => lifecycle.start(await buildServices(options, workerId, redis)),
    stop: () => lifecycle.stop(),
  };
}

const matches = (pattern: string, name: string) =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;

async function buildServices(
  options: WorkerAppOptions,
  workerId: string,
  redis: RedisConnection,
): Promise<Service[]> {
  const { settings, redisUrl, log, metrics, clock } = options;
  const queueRedis = openRedis(redisUrl, settings.redis, 'queue', `${workerId}-queue`);
  const subscriber = openRedis(redisUrl, settings.redis, 'blocking', `${workerId}-cancel`);
  const connections = openConnections([redis, queueRedis, subscriber], settings.redis, log);
  const telemetry = await queueTelemetry(settings.telemetry);
  const jobs = new JobStore(redis, settings.jobs);
  const onError = (part: string) => (error: unknown) => {
    metrics.backgroundErrors.inc({ part });
    log.warn({ part, reason: describeError(error) }, 'background error');
  };
  const leases = new LeaseKeeper({
    workerId,
    jobs,
    redis,
    subscriber,
    clock,
    beatMs: settings.jobs.lease_beat_ms,
    graceMs: settings.jobs.takeover_grace_ms,
    onError: onError('leases'),
  });
  const storeRetry = new StoreRetry({ clock, metrics, maxMs: settings.workers.settle_retry_max_ms });
  const settler = new OutcomeSettler({ jobs, redis, metrics, log, storeRetry, replies: settings.replies });
  const suspects = new SuspectPlace();
  const streams = streamedAttempts(options, redis, onError('streams'));
  const queues = poolIds(settings).map((id) => new PoolQueue(id, redis, clock, telemetry));
  const queueOf = (provider: string, pool: string) =>
    queues.find(({ id }) => id.provider === provider && id.pool === pool);
  const served = queues.filter(({ id }) =>
    options.pools.some((pattern) => matches(pattern, `${id.provider}/${id.pool}`)),
  );
  const shared = { workerId, jobs, leases, settler, storeRetry, suspects, streams, metrics, clock };
  const pools = served.map((queue) => servePool(options, queue, shared, queueRedis, telemetry, onError));
  const mending: SweepParts & ReclaimParts = {
    workerId,
    jobs,
    redis,
    queueOf,
    queues,
    settler,
    settings: settings.jobs,
    clock,
    metrics,
    presence: ownPresence(),
    onError: onError('sweeper'),
  };
  const idle = () => pools.every(({ loop }) => loop.active === 0);
  const published = publishService(served, settings);
  return [connections, leases, ...queues, published, mendingService(mending, idle), poolsService(pools)];
}

/** Where streamed answers go while they are made. */
function streamedAttempts(
  { settings, clock }: WorkerAppOptions,
  redis: RedisConnection,
  onError: (error: unknown) => void,
): StreamedAttempts {
  const tell: DeltaLogParts['tell'] = (followers, progress, bytes) =>
    void announce(redis, settings.replies, followers, progress, bytes).catch(onError);
  const log = new EventLog(redis, recordLifeMs(settings.jobs));
  return new StreamedAttempts({ log, tell, settings: settings.streams, clock, onError });
}

interface ServedPool {
  loop: TicketWorker;
  client: ProviderClient;
  limitWatch: LimitWatch;
}

/** Makes the configuration of the pools known to everybody who dispatches from them. */
function publishService(queues: readonly PoolQueue[], settings: Settings): Service {
  const tenants = tenantSettingsOf(settings);
  return {
    name: 'pool settings',
    async start() {
      await Promise.all(queues.map((queue) => queue.publish(poolSettingsOf(settings, queue.id), tenants)));
    },
    stop: async () => undefined,
  };
}

/** The loop of one pool, with provider connections of its own. */
function servePool(
  { settings, clock, random, metrics, log }: WorkerAppOptions,
  queue: PoolQueue,
  shared: Omit<
    RunJobParts,
    'id' | 'provider' | 'client' | 'limitWatch' | 'sendWindow' | 'coolDown' | 'settings' | 'random'
  >,
  connection: RedisConnection,
  telemetry: TicketWorkerOptions['telemetry'],
  onError: (part: string) => (error: unknown) => void,
): ServedPool {
  const { id } = queue;
  const provider = settings.providers[id.provider]!;
  const pool = provider.pools[id.pool]!;
  const { concurrency, window_seconds, tier } = pool;
  const client = new ProviderClient(provider, concurrency);
  const limitWatch = new LimitWatch({
    pool: `${id.provider}/${id.pool}`,
    minuteMs: window_seconds * 1_000,
    tier,
    observe: (...observation) => queue.observe(...observation),
    clock,
    metrics,
    log,
    onError: onError('limits'),
  });
  const parts: RunJobParts = {
    ...shared,
    id,
    provider,
    client,
    sendWindow: new SendWindow(clock, grantTimingOf(pool)),
    limitWatch,
    settings: settings.jobs,
    random,
    coolDown: (credential, untilMs) => queue.coolDown(credential, untilMs),
  };
  const Loop = settings.workers.loop === 'stock' ? StockLoop : ClaimLoop;
  const loop = new Loop({
    id,
    workerId: shared.workerId,
    concurrency,
    clock,
    telemetry,
    connection,
    settings: settings.workers,
    handle: (held) => runJob(parts, held),
    onError: onError(`pool ${id.provider}/${id.pool}`),
  });
  return { loop, client, limitWatch };
}

async function stopPool({ loop, client, limitWatch }: ServedPool): Promise<void> {
  try {
    await loop.stop();
  } finally {
    limitWatch.stop();
    await client.close();
  }
}

/** All pools of the process: they stop together, so that none takes new work while another still drains. */
function poolsService(pools: readonly ServedPool[]): Service {
  const stop = async () => {
    const stopped = await Promise.allSettled(pools.map(stopPool));
    const failed = stopped.find((each) => each.status === 'rejected');
    if (failed) throw failed.reason;
  };
  const start = async () => {
    try {
      await Promise.all(pools.map(({ loop }) => loop.start()));
    } catch (error) {
      await stop();
      throw error;
    }
  };
  return { name: 'pools', start, stop };
}

/** The periodic part of a worker: takes back the jobs of dead workers, and sweeps. */
function mendingService(parts: SweepParts & ReclaimParts, idle: () => boolean): Service {
  const stop = new AbortController();
  let loop: Promise<void> | undefined;
  const { onError } = parts;
  const run = async () => {
    while (!stop.signal.aborted) {
      await reclaimDeadWorkers(parts).catch(onError);
      await sweepJobs(parts).catch(onError);
      await parts.clock.sleep(parts.settings.sweep_ms, stop.signal);
    }
  };
  return {
    name: 'sweeper',
    async start() {
      await registerPresence(parts);
      loop = run();
    },
    async stop() {
      stop.abort();
      await loop;
      // Calls that outlasted the drain end with the process; whoever finds it dead may take their jobs at once.
      if (idle()) await withdrawPresence(parts).catch(onError);
    },
  };
}
