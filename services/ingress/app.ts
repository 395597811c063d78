import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance, LogController } from 'fastify';
import { validatorCompiler } from 'fastify-type-provider-zod';
import type { KeyScope } from '#config/customer-schema.ts';
import type { Settings } from '#config/schema.ts';
import { BatchStore } from '#shared/batches/batch-store.ts';
import { FileStore } from '#shared/batches/file-store.ts';
import { openBlobs } from '#shared/blobs/open-blobs.ts';
import { PayloadBlobs } from '#shared/blobs/payload-blobs.ts';
import { DeliveryStore } from '#shared/deliveries/delivery-store.ts';
import { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import { readJsonBodies } from '#shared/http/read-json.ts';
import { JobStore } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { derive, type Live } from '#shared/kernel/live-value.ts';
import type { Random } from '#shared/kernel/random.ts';
import { PoolQueues } from '#shared/queue/pool-queues.ts';
import { surveyPools } from '#shared/queue/survey-pools.ts';
import { openConnections, openRedis, type RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import type { SecretBox } from '#shared/secrets/secret-box.ts';
import { loggedLifecycle } from '#shared/telemetry/logged-lifecycle.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { queueTelemetry } from '#shared/telemetry/tracing.ts';
import { CancelledKeys } from '#shared/tenants/cancelled-keys.ts';
import type { KeyHasher } from '#shared/tenants/key-hash.ts';
import { SocketTickets } from '#shared/tenants/socket-tickets.ts';
import { VirtualKeys } from '#shared/tenants/virtual-keys.ts';
import { Prices } from '#shared/tokens/price.ts';
import { openBatches } from './batches/open-batches.ts';
import { embedText } from './cache/embed-text.ts';
import { openCache } from './cache/open-cache.ts';
import { tellQuotasEverywhere } from './call-quotas.ts';
import { RevokedKeys } from './cancel-revoked.ts';
import type { IngressParts } from './ingress-parts.ts';
import { answerBrokenHttp, answerErrors, answerUnroutable } from './plugins/answer-errors.ts';
import { authenticate } from './plugins/authenticate.ts';
import { describeApi } from './plugins/describe-api.ts';
import { limitReceiving } from './plugins/limit-receiving.ts';
import { openReplies, type ReplyOptions } from './replies/open-replies.ts';
import { rewriteUrl } from './rewrite-url.ts';
import { batchRoutes } from './routes/batches.ts';
import { cacheRoutes } from './routes/cache.ts';
import { callRoutes } from './routes/calls.ts';
import { eventRoutes } from './routes/events.ts';
import { fileRoutes } from './routes/files.ts';
import { geminiRoutes } from './routes/gemini.ts';
import { healthRoutes } from './routes/health.ts';
import { jobRoutes } from './routes/jobs.ts';
import { modelRoutes } from './routes/models.ts';
import { acceptSockets, socketRoutes, ticketRoutes } from './routes/sockets.ts';
import { usageRoutes } from './routes/usage.ts';
import { webhookRoutes } from './routes/webhook-endpoints.ts';
import { Copies } from './routing/copies.ts';
import { openRouting } from './routing/open-routing.ts';
import { NewJobs } from './sockets/new-jobs.ts';
import { StoreGuard } from './store-guard.ts';
import { BlobSweeper } from './sweep-blobs.ts';

export interface IngressAppOptions {
  keyHasher: KeyHasher;
  live: Live<Settings>;
  redisUrl: string;
  log: Logger;
  metrics: Metrics;
  /** Encrypts what is stored of secrets. */
  secrets: SecretBox;
  clock: Clock;
  random: Random;
}

export interface IngressApp extends Service {
  /** Port it listens on, once started. */
  readonly port: number;
  /** Rejects when the store cannot be written. */
  readonly probe: () => Promise<void>;
  /** What the operations port tells, once started. */
  readonly reports: Record<string, () => Promise<unknown>>;
}

type OnError = (part: string) => (error: unknown) => void;

interface BuiltParts {
  parts: IngressParts;
  queues: PoolQueues;
  services: Service[];
  onError: OnError;
}

const headersTimeoutMs = 15_000;
const keepAliveMs = 65_000;
/** How long callers have to take the answer that a stopping server gives them. */
const lastWordsMs = 2_000;
const closeIdleEveryMs = 50;
const readinessTtlMs = 60_000;

/** The public API: accepts calls, holds awaited ones open, and answers for jobs. */
export function createIngressApp(options: IngressAppOptions): IngressApp {
  const { redisUrl, log, clock } = options;
  const settings = options.live.current;
  const ingressId = newId('ingress');
  const redis = openRedis(redisUrl, settings.redis, 'commands', ingressId);
  const hearing = {
    blocking: openRedis(redisUrl, settings.redis, 'blocking', `${ingressId}-replies`),
    subscriber: openRedis(redisUrl, settings.redis, 'blocking', `${ingressId}-progress`),
  };
  const batchReplies = openRedis(redisUrl, settings.redis, 'blocking', `${ingressId}-batches`);
  const lifecycle = loggedLifecycle(settings, clock, log);
  const probe = async () => {
    await redis.set(keys.readiness(ingressId), '1', 'PX', readinessTtlMs);
  };
  let http: FastifyInstance | undefined;
  const reports: IngressApp['reports'] = {};
  return {
    name: 'ingress',
    probe,
    reports,
    get port() {
      return (http!.server.address() as AddressInfo).port;
    },
    async start() {
      await lifecycle.start([
        openConnections([redis, hearing.blocking, hearing.subscriber, batchReplies], settings.redis, log),
      ]);
      const built = await buildParts(options, ingressId, redis, hearing);
      const batches = openBatches(built.parts, batchReplies, built.onError('batches'));
      reports['/pools'] = surveyPools(built.queues, clock);
      http = await buildHttp(built.parts, probe);
      await lifecycle.start([...built.services, ...batches, httpService(http, settings.http, built.parts)]);
    },
    stop: () => lifecycle.stop(),
  };
}

async function buildParts(
  options: IngressAppOptions,
  ingressId: string,
  redis: RedisConnection,
  hearing: Pick<ReplyOptions, 'blocking' | 'subscriber'>,
): Promise<BuiltParts> {
  const { live, metrics, clock, random, log, secrets } = options;
  const settings = live.current;
  const telemetry = await queueTelemetry(settings.telemetry);
  const blobs = await openBlobs(settings);
  const large = new PayloadBlobs(blobs, settings.payloads.inline_max_bytes);
  const retentionSecondsOf = (tenant: string) => live.current.customers[tenant]?.retention_seconds;
  const jobs = new JobStore(redis, settings.jobs, { large, retentionSecondsOf });
  const queues = new PoolQueues({ live, connection: redis, clock, telemetry });
  const onError: OnError = (part) => (error) => {
    metrics.backgroundErrors.inc({ part });
    log.warn({ part, reason: describeError(error) }, 'background error');
  };
  const hears = { ingressId, settings, jobs, redis, ...hearing, clock };
  const replies = openReplies({ ...hears, onError: onError('replies') });
  const { models, router, gauges } = openRouting({ live, queues, redis, clock, random, onError });
  const virtualKeys = derive(live, ({ customers }) => new VirtualKeys(customers, options.keyHasher));
  const storeGuard = new StoreGuard(redis, clock, settings.redis.memory_max_percent);
  const { waiter, feed } = replies;
  const prices = new Prices(live, clock);
  const queueOf: IngressParts['queueOf'] = (provider, pool) => queues.of({ provider, pool });
  const cacheOf = { ingressId, live, redis, jobs, large, waiter, feed, prices, queueOf, metrics, clock, log };
  const cache = openCache({ ...cacheOf, embed: (...asked) => embedText(parts, ...asked) });
  const parts: IngressParts = {
    ingressId,
    get settings() {
      return live.current;
    },
    get models() {
      return models.current;
    },
    router,
    get virtualKeys() {
      return virtualKeys.current;
    },
    watchKeys: (onChange) => virtualKeys.subscribe(onChange),
    copies: new Copies({ openMax: settings.routing.mirrors_open_max, metrics, log }),
    ...{ jobs, redis, blobs },
    ...{ waiter, feed, storeGuard, prices, cache, queueOf, metrics, clock, log },
    tickets: new SocketTickets(redis, settings.sockets.ticket_ms),
    files: new FileStore(redis),
    batches: new BatchStore(redis),
    endpoints: new EndpointStore({ redis, settings: settings.webhooks, secrets }),
    deliveries: new DeliveryStore(redis, settings.webhooks),
    newJobs: new NewJobs(redis, clock, settings.sockets.watch_ms, onError('sockets')),
  };
  const revoked = new RevokedKeys(parts, new CancelledKeys(live), onError('revoked keys'));
  const sweeper = new BlobSweeper(parts, onError('blob sweeper'));
  return {
    parts,
    queues,
    services: [storeGuard, queues, gauges, revoked, ...replies.services, sweeper],
    onError,
  };
}

async function buildHttp(parts: IngressParts, probe: () => Promise<void>): Promise<FastifyInstance> {
  const { http, files } = parts.settings;
  const app = fastify({
    // Fastify's own lines at "info" are its addresses; which one counts is said at the end of the start.
    loggerInstance: parts.log.child({}, { level: 'warn' }),
    // Its child logger for each request would cost more than the few lines that a request writes; those name it themselves.
    childLoggerFactory: (log) => log,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => newId('req'),
    rewriteUrl: ({ url }) => rewriteUrl(url),
    bodyLimit: http.body_max_bytes,
    requestTimeout: Math.max(http.request_timeout_ms, files.upload_timeout_ms),
    keepAliveTimeout: keepAliveMs,
    forceCloseConnections: 'idle',
    return503OnClosing: true,
    http: { headersTimeout: headersTimeoutMs },
    clientErrorHandler: answerBrokenHttp,
    frameworkErrors: answerUnroutable,
    ...(http.trusted_proxies.length > 0 ? { trustProxy: http.trusted_proxies } : {}),
  }) as unknown as FastifyInstance;
  app.setValidatorCompiler(validatorCompiler);
  readJsonBodies(app, http.body_max_depth);
  answerErrors(app, parts.metrics);
  limitReceiving(app, parts.clock, http.request_timeout_ms);
  await acceptSockets(app, parts.settings.sockets);
  await describeApi(app);
  healthRoutes(app, probe);
  const inScope = (scope: KeyScope | 'any', routes: (app: FastifyInstance) => void | Promise<void>) =>
    app.register(async (scoped) => {
      authenticate(scoped, parts, scope);
      tellQuotasEverywhere(scoped, parts);
      await routes(scoped);
    });
  await inScope('calls', (scoped) => {
    callRoutes(scoped, parts);
    geminiRoutes(scoped, parts);
    cacheRoutes(scoped, parts.cache);
  });
  await inScope('any', (scoped) => {
    modelRoutes(scoped, parts);
    usageRoutes(scoped, parts);
  });
  await inScope('batches', (scoped) => batchRoutes(scoped, parts));
  await inScope('files', (scoped) => fileRoutes(scoped, parts));
  await inScope('webhooks', (scoped) => webhookRoutes(scoped, parts));
  await inScope('jobs', (scoped) => {
    jobRoutes(scoped, parts);
    eventRoutes(scoped, parts);
    ticketRoutes(scoped, parts.tickets);
  });
  await app.register(async (sockets) => {
    authenticate(sockets, parts, 'jobs', (ticket) => parts.tickets.redeem(ticket));
    socketRoutes(sockets, parts);
  });
  return app;
}

/** Listening, and a stop that lets open calls finish for a while. */
function httpService(
  app: FastifyInstance,
  http: Settings['http'],
  { waiter, feed, clock }: Pick<IngressParts, 'waiter' | 'feed' | 'clock'>,
): Service {
  return {
    name: 'http',
    async start() {
      await app.listen({ host: http.host, port: http.port });
    },
    async stop() {
      // Answered, not cut off: a cut looks like a caller that hung up, and would cancel its job.
      const drained = AbortSignal.timeout(http.drain_ms);
      const release = () => {
        waiter.releaseAll();
        feed.releaseAll();
      };
      drained.addEventListener('abort', release, { once: true });
      const cut = AbortSignal.timeout(http.drain_ms + lastWordsMs);
      cut.addEventListener('abort', () => app.server.closeAllConnections(), { once: true });
      // Clients keep the connection of an answered call for the next one.
      const idle = clock.every(closeIdleEveryMs, () => app.server.closeIdleConnections());
      await app.close().finally(() => idle.cancel());
    },
  };
}
