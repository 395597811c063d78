import type { Settings } from '#config/schema.ts';
import { openBlobs } from '#shared/blobs/open-blobs.ts';
import { PayloadBlobs } from '#shared/blobs/payload-blobs.ts';
import { recordLifeMs } from '#shared/jobs/job-record.ts';
import { JobStore } from '#shared/jobs/job-store.ts';
import { wakeWaiting } from '#shared/jobs/wake-waiting.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import { ownPresence } from '#shared/kernel/process-presence.ts';
import type { Random } from '#shared/kernel/random.ts';
import { PoolQueues } from '#shared/queue/pool-queues.ts';
import { openConnections, openRedis, type RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { announceProgress } from '#shared/results/announce.ts';
import { EventLog } from '#shared/results/event-log.ts';
import { loggedLifecycle } from '#shared/telemetry/logged-lifecycle.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { queueTelemetry } from '#shared/telemetry/tracing.ts';
import { CancelledKeys } from '#shared/tenants/cancelled-keys.ts';
import { Prices } from '#shared/tokens/price.ts';
import { openCacheWriter } from './cache-writer.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { PoolNews } from './limits/pool-news.ts';
import { SchemaJudge } from './quality/schema-judge.ts';
import { type ReclaimParts, reclaimDeadWorkers } from './reclaim-dead-workers.ts';
import { RemovedPools } from './removed-pools.ts';
import { RevokedCalls } from './revoked-calls.ts';
import { LatencyBoard } from './routing/latency-board.ts';
import { PoolHealth } from './routing/pool-health.ts';
import { ServePools } from './serve-pools.ts';
import { OutcomeSettler } from './settle-outcome.ts';
import { StoreRetry } from './store-retry.ts';
import { StoredBodies } from './stored-bodies.ts';
import type { DeltaLogParts } from './streams/delta-log.ts';
import { LostAttempts } from './streams/lost-attempts.ts';
import { StreamedAttempts } from './streams/streamed-attempts.ts';
import { SuspectPlace } from './suspect-place.ts';
import { type SweepParts, sweepJobs } from './sweep-jobs.ts';
import { FairnessWatch } from './watch-fairness.ts';
import { keepRegistered, type RegisterParts, strike } from './worker-register.ts';

export interface WorkerAppOptions {
  live: Live<Settings>;
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
  const { redisUrl, log, clock } = options;
  const settings = options.live.current;
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

async function buildServices(
  options: WorkerAppOptions,
  workerId: string,
  redis: RedisConnection,
): Promise<Service[]> {
  const { live, redisUrl, log, metrics, clock, random } = options;
  const settings = live.current;
  const queueRedis = openRedis(redisUrl, settings.redis, 'queue', `${workerId}-queue`);
  const subscriber = openRedis(redisUrl, settings.redis, 'blocking', `${workerId}-cancel`);
  const connections = openConnections([redis, queueRedis, subscriber], settings.redis, log);
  const telemetry = await queueTelemetry(settings.telemetry);
  const queues = new PoolQueues({ live, connection: redis, clock, telemetry });
  const onError = (part: string) => (error: unknown) => {
    metrics.backgroundErrors.inc({ part });
    log.warn({ part, reason: describeError(error) }, 'background error');
  };
  const { eventLog, prices, ...storing } = await openStoring(options, redis, queues, onError('cache'));
  const { jobs, settler } = storing;
  const common = { workerId, jobs, redis, clock };
  const { lease_beat_ms: beatMs, takeover_grace_ms: graceMs } = settings.jobs;
  const leases = new LeaseKeeper({ ...common, subscriber, beatMs, graceMs, onError: onError('leases') });
  const revoked = new RevokedCalls({
    ...{ jobs, leases, storeRetry: storing.storeRetry, onError: onError('revoked calls') },
    cancelledKeys: new CancelledKeys(live),
  });
  const suspects = new SuspectPlace();
  const streams = streamedAttempts(options, redis, eventLog, onError('streams'));
  const latencies = new LatencyBoard({ live, redis, clock, onError: onError('latencies') });
  const schemas = new SchemaJudge(settings.routing);
  const placing = { queues, latencies, schemas, prices };
  const shared = { workerId, ...storing, ...placing, leases, revoked, suspects, streams, metrics, clock };
  const news = new PoolNews(subscriber, onError('pool news'));
  const pools = new ServePools({
    live,
    patterns: options.pools,
    queues,
    parts: { shared, news, settings, clock, random, log, connection: queueRedis, telemetry, onError },
    workerId,
    clock,
    log,
  });
  const mending: MendingParts = {
    ...common,
    live,
    queues,
    removed: new RemovedPools(live, redis, clock),
    health: new PoolHealth(queues, clock),
    settler,
    settings: settings.jobs,
    metrics,
    presence: ownPresence(),
    onError: onError('sweeper'),
  };
  const sweeper = mendingService(mending, () => pools.idle);
  const fairness = new FairnessWatch({ ...common, live, queues, metrics, onError: onError('fairness') });
  return [connections, leases, news, queues, latencies, revoked, sweeper, fairness, pools, prices.warmUp()];
}

/** The records of jobs, their large bodies, how both are asked again, and what is written at the end of a job. */
async function openStoring(
  { live, clock, metrics, log }: WorkerAppOptions,
  redis: RedisConnection,
  queues: PoolQueues,
  onCacheError: (error: unknown) => void,
) {
  const prices = new Prices(live, clock);
  const { jobs: settings, payloads, workers, replies, cache, ...rest } = live.current;
  const large = new PayloadBlobs(await openBlobs(rest), payloads.inline_max_bytes);
  const retentionSecondsOf = (tenant: string) => live.current.customers[tenant]?.retention_seconds;
  const jobs = new JobStore(redis, settings, { large, retentionSecondsOf });
  const storeRetry = new StoreRetry({ clock, metrics, maxMs: workers.settle_retry_max_ms });
  const storedBodies = new StoredBodies({ bodies: jobs.bodies, settings: payloads, clock, storeRetry });
  const eventLog = new EventLog(redis, recordLifeMs(settings));
  const lost = new LostAttempts({
    ...{ log: eventLog, jobs, redis, storeRetry, prices },
    settings: rest.streams,
  });
  const wake = (tenant: string, jobIds: readonly string[]) =>
    wakeWaiting({ jobs, queueOf: (id) => queues.of(id) }, tenant, jobIds);
  const cacheWriter = openCacheWriter({ redis, settings: cache, large, metrics, onError: onCacheError });
  const settler = new OutcomeSettler({
    ...{ jobs, redis, prices, metrics, log, storeRetry, storedBodies, cacheWriter, replies, wake },
  });
  return { jobs, storeRetry, storedBodies, lost, eventLog, prices, settler };
}

/** Where streamed answers go while they are made. */
function streamedAttempts(
  { live, clock }: WorkerAppOptions,
  redis: RedisConnection,
  log: EventLog,
  onError: (error: unknown) => void,
): StreamedAttempts {
  const settings = live.current;
  const tell: DeltaLogParts['tell'] = (followers, progress, bytes) =>
    void announceProgress(redis, settings.replies, followers, progress, bytes).catch(onError);
  return new StreamedAttempts({ log, tell, settings: settings.streams, clock, onError });
}

type MendingParts = SweepParts & ReclaimParts & RegisterParts;

/** The periodic part of a worker: takes back the jobs of dead workers, and sweeps. */
function mendingService(parts: MendingParts, idle: () => boolean): Service {
  const stop = new AbortController();
  let loop: Promise<void> | undefined;
  const { onError } = parts;
  const run = async () => {
    while (!stop.signal.aborted) {
      await keepRegistered(parts).catch(onError);
      await reclaimDeadWorkers(parts).catch(onError);
      await sweepJobs(parts).catch(onError);
      await parts.clock.sleep(parts.settings.sweep_ms, stop.signal);
    }
  };
  return {
    name: 'sweeper',
    async start() {
      await keepRegistered(parts);
      loop = run();
    },
    async stop() {
      stop.abort();
      await loop;
      // Calls that outlasted the drain end with the process; whoever finds it dead may take their jobs at once.
      if (idle()) await strike(parts.redis, parts.workerId).catch(onError);
    },
  };
}
