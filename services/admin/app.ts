import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance, LogController } from 'fastify';
import { validatorCompiler } from 'fastify-type-provider-zod';
import type { Settings } from '#config/schema.ts';
import { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import { readJsonBodies } from '#shared/http/read-json.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { newId } from '#shared/kernel/ids.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import type { Random } from '#shared/kernel/random.ts';
import { AuditLog } from '#shared/overlay/audit-log.ts';
import { overlayKinds } from '#shared/overlay/overlay-document.ts';
import { OverlayStore } from '#shared/overlay/overlay-store.ts';
import { PoolQueues } from '#shared/queue/pool-queues.ts';
import { surveyPools } from '#shared/queue/survey-pools.ts';
import { openConnections, openRedis } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import type { SecretBox } from '#shared/secrets/secret-box.ts';
import { loggedLifecycle } from '#shared/telemetry/logged-lifecycle.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import type { KeyHasher } from '#shared/tenants/key-hash.ts';
import type { AdminParts } from './admin-parts.ts';
import { keyMaker } from './key-maker.ts';
import { AdminObjects } from './objects/admin-objects.ts';
import { bifrostRoutes } from './peers/bifrost.ts';
import { litellmRoutes } from './peers/litellm.ts';
import { answerProblems, answerUnroutable } from './plugins/answer-problems.ts';
import { authenticateAdmin } from './plugins/authenticate-admin.ts';
import { describeAdmin } from './plugins/describe-admin.ts';
import { auditRoutes } from './routes/audit.ts';
import { controlRoutes } from './routes/controls.ts';
import { creationRoute, objectRoutes } from './routes/objects.ts';
import { operationsRoutes } from './routes/operations.ts';
import { streamRoutes } from './routes/stream.ts';
import { usageRoutes } from './routes/usage.ts';
import { keyCreationRoute } from './routes/virtual-keys.ts';
import { webhookEndpointRoutes } from './routes/webhook-endpoints.ts';

export interface AdminAppOptions {
  /** The settings of the file, and what is made of them by what was changed. */
  base: Live<Settings>;
  live: Live<Settings>;
  secrets: SecretBox;
  random: Random;
  keyHasher: KeyHasher;
  redisUrl: string;
  log: Logger;
  metrics: Metrics;
  clock: Clock;
  /** Who shows it may do everything here. */
  adminKey: string;
  /** Rejects when the process cannot do its work; unset: when the store cannot be written. */
  probe?: () => Promise<void>;
}

export interface AdminApp extends Service {
  /** Port it listens on, once started. */
  readonly port: number;
}

const headersTimeoutMs = 15_000;
const keepAliveMs = 65_000;
const readinessTtlMs = 60_000;

/**
 * The admin API: it listens on the operations port, takes the place of the plain operations server there, and answers
 * what that answers without a key too.
 */
export function createAdminApp(options: AdminAppOptions): AdminApp {
  const { live, redisUrl, log, metrics, clock } = options;
  const settings = live.current;
  const adminId = newId('admin');
  const redis = openRedis(redisUrl, settings.redis, 'commands', adminId);
  const lifecycle = loggedLifecycle(settings, clock, log);
  const probe = async () => void (await redis.set(keys.readiness(adminId), '1', 'PX', readinessTtlMs));
  let http: FastifyInstance | undefined;
  return {
    name: 'admin',
    get port() {
      return (http!.server.address() as AddressInfo).port;
    },
    async start() {
      await lifecycle.start([openConnections([redis], settings.redis, log)]);
      const queues = new PoolQueues({ live, connection: redis, clock, telemetry: undefined });
      const store = new OverlayStore({ redis, settings: settings.overlay });
      // A Redis that was started anew may have lost the newest versions, and counts them again.
      redis.on('ready', () => store.forget());
      const parts: AdminParts = {
        get settings() {
          return live.current;
        },
        clock,
        metrics,
        redis,
        keys: keyMaker(options.random, options.keyHasher),
        endpoints: new EndpointStore({ redis, settings: settings.webhooks, secrets: options.secrets }),
        survey: surveyPools(queues, clock),
        objects: new AdminObjects({ store, base: () => options.base.current, secrets: options.secrets }),
        audit: new AuditLog(redis, settings.overlay.audit_rows_max),
      };
      http = await buildHttp(parts, { probe, ...options });
      await lifecycle.start([queues, httpService(http, settings.operations)]);
    },
    stop: () => lifecycle.stop(),
  };
}

async function buildHttp(
  parts: AdminParts,
  { log, metrics, adminKey, probe }: AdminAppOptions & { probe: () => Promise<void> },
): Promise<FastifyInstance> {
  const { http } = parts.settings;
  const app = fastify({
    loggerInstance: log.child({}, { level: 'warn' }),
    childLoggerFactory: (parent) => parent,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => newId('req'),
    bodyLimit: http.body_max_bytes,
    requestTimeout: http.request_timeout_ms,
    keepAliveTimeout: keepAliveMs,
    forceCloseConnections: true,
    http: { headersTimeout: headersTimeoutMs },
    frameworkErrors: answerUnroutable,
  }) as unknown as FastifyInstance;
  app.setValidatorCompiler(validatorCompiler);
  readJsonBodies(app, http.body_max_depth);
  answerProblems(app, metrics);
  await describeAdmin(app);
  operationsRoutes(app, { metrics, probe, reports: { '/pools': parts.survey } });
  await app.register(async (authenticated) => {
    authenticateAdmin(authenticated, adminKey);
    adminRoutes(authenticated, parts);
  });
  return app;
}

function adminRoutes(app: FastifyInstance, parts: AdminParts): void {
  const { objects, audit, keys: maker } = parts;
  for (const kind of overlayKinds) {
    objectRoutes(app, kind, objects);
    if (kind !== 'virtual-keys') creationRoute(app, kind, objects);
  }
  keyCreationRoute(app, objects, maker);
  controlRoutes(app, objects);
  auditRoutes(app, audit);
  webhookEndpointRoutes(app, parts);
  usageRoutes(app, parts);
  streamRoutes(app, parts);
  bifrostRoutes(app, parts);
  litellmRoutes(app, parts);
}

function httpService(app: FastifyInstance, { host, port }: Settings['operations']): Service {
  return {
    name: 'admin http',
    start: async () => void (await app.listen({ host, port })),
    stop: () => app.close(),
  };
}
