import type { Settings } from '#config/schema.ts';
import { BatchStore } from '#shared/batches/batch-store.ts';
import { openBlobs } from '#shared/blobs/open-blobs.ts';
import { PayloadBlobs } from '#shared/blobs/payload-blobs.ts';
import { DeliveryStore } from '#shared/deliveries/delivery-store.ts';
import { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import { JobStore } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import { ownPresence } from '#shared/kernel/process-presence.ts';
import type { Random } from '#shared/kernel/random.ts';
import { ClaimLoop } from '#shared/queue/claim-loop.ts';
import { PoolQueue } from '#shared/queue/pool-queue.ts';
import { openConnections, openRedis, type RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import type { SecretBox } from '#shared/secrets/secret-box.ts';
import { loggedLifecycle } from '#shared/telemetry/logged-lifecycle.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { systemResolve } from './address-guard.ts';
import { type DeliverParts, deliver } from './deliver.ts';
import { deliveryPool } from './delivery-queue.ts';
import { OutboxLoop } from './outbox-loop.ts';
import { ReceiverClient } from './receiver-client.ts';
import { DeliveryReclaimer } from './reclaim-deliveries.ts';
import { trustedAuthorities } from './trusted-authorities.ts';

export interface WebhookAppOptions {
  /** Settings of webhooks hold until the process ends; those of tenants may change. */
  live: Live<Settings>;
  redisUrl: string;
  log: Logger;
  metrics: Metrics;
  /** Encrypts what is stored of secrets. */
  secrets: SecretBox;
  clock: Clock;
  random: Random;
}

export interface WebhookApp extends Service {
  /** Rejects when the store cannot be written. */
  readonly probe: () => Promise<void>;
}

const readinessTtlMs = 60_000;

/** The webhook service: empties outboxes into the delivery queue, and delivers. */
export function createWebhookApp(options: WebhookAppOptions): WebhookApp {
  const { redisUrl, log, clock } = options;
  const settings = options.live.current;
  const processId = newId('worker');
  const redis = openRedis(redisUrl, settings.redis, 'commands', processId);
  const lifecycle = loggedLifecycle(settings, clock, log);
  return {
    name: 'webhook',
    probe: async () => void (await redis.set(keys.readiness(processId), '1', 'PX', readinessTtlMs)),
    start: async () => lifecycle.start(await buildServices(options, processId, redis)),
    stop: () => lifecycle.stop(),
  };
}

async function buildServices(
  options: WebhookAppOptions,
  processId: string,
  redis: RedisConnection,
): Promise<Service[]> {
  const { live, redisUrl, log, metrics, clock, random, secrets } = options;
  const settings = live.current;
  const queueRedis = openRedis(redisUrl, settings.redis, 'queue', `${processId}-queue`);
  const subscriber = openRedis(redisUrl, settings.redis, 'blocking', `${processId}-outbox`);
  const connections = openConnections([redis, queueRedis, subscriber], settings.redis, log);
  const onError = (error: unknown) => {
    metrics.backgroundErrors.inc({ part: 'webhooks' });
    log.warn({ part: 'webhooks', reason: describeError(error) }, 'background error');
  };
  const deliveries = new DeliveryStore(redis, settings.webhooks);
  const endpoints = new EndpointStore({ redis, settings: settings.webhooks, secrets });
  const authorities = trustedAuthorities(settings.webhooks.ca_file);
  const client = new ReceiverClient(settings.webhooks, systemResolve, authorities);
  const queue = new PoolQueue(deliveryPool, redis, clock);
  const parts: DeliverParts = {
    ...{ deliveries, endpoints, client, metrics, log, clock, random },
    settings: settings.webhooks,
  };
  const loop = new ClaimLoop({
    id: deliveryPool,
    workerId: processId,
    concurrency: settings.webhooks.concurrency,
    connection: queueRedis,
    settings: settings.workers,
    clock,
    telemetry: undefined,
    handle: (held) => deliver(parts, held),
    onError,
  });
  const large = new PayloadBlobs(await openBlobs(settings), settings.payloads.inline_max_bytes);
  const outbox = new OutboxLoop({
    ...{ deliveries, endpoints, queue, metrics, clock, onError, subscriber },
    settings,
    retentionSecondsOf: (tenant) => live.current.customers[tenant]?.retention_seconds,
    jobs: new JobStore(redis, settings.jobs, { large }),
    batches: new BatchStore(redis),
  });
  const reclaimer = new DeliveryReclaimer({
    ...{ processId, redis, queue, clock, onError },
    presence: ownPresence(),
    everyMs: settings.webhooks.sweep_ms,
  });
  const sending = [laneCaps(queue, settings.webhooks), clientService(client), loop, outbox];
  return [connections, queue, reclaimer, ...sending];
}

/** Makes it known to every process how many deliveries of one endpoint may be under way. */
function laneCaps(queue: PoolQueue, { endpoint_concurrency }: Settings['webhooks']): Service {
  return {
    name: 'delivery lanes',
    start: async () => void (await queue.publish({ tenantConcurrency: endpoint_concurrency }, {})),
    stop: async () => undefined,
  };
}

function clientService(client: ReceiverClient): Service {
  return { name: 'receiver connections', start: async () => undefined, stop: () => client.close() };
}
