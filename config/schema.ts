import { z } from 'zod';
import { batchesSchema } from './batch-schema.ts';
import { cacheSchema } from './cache-schema.ts';
import { customersSchema } from './customer-schema.ts';
import { quotasSchema } from './limit-schema.ts';
import { overlaySchema } from './overlay-schema.ts';
import {
  adminSchema,
  operationsSchema,
  redisSchema,
  reloadSchema,
  simulatorSchema,
} from './process-schema.ts';
import { providerSchema } from './provider-schema.ts';
import { refuseUnknownTargets, routesSchema, routingSchema } from './route-schema.ts';
import { count, milliseconds, name, port, seconds } from './setting-types.ts';
import { socketsSchema } from './socket-schema.ts';
import { blobsSchema, filesSchema, payloadsSchema } from './storage-schema.ts';
import { repliesSchema, streamsSchema } from './stream-schema.ts';
import { webhooksSchema } from './webhook-schema.ts';

const dayMs = 86_400_000;
const daySeconds = 86_400;

const httpSchema = z
  .strictObject({
    host: z.string().default('0.0.0.0').describe('Address the public API listens on.'),
    port: port(8080, 'Port of the public API.'),
    public_url: z
      .url()
      .optional()
      .describe(
        'How callers reach the public API; used in the URLs of job objects. Unset: taken from each request.',
      ),
    body_max_bytes: count(
      4_194_304,
      1_024,
      67_108_864,
      'Largest request body in bytes. Parsing one byte costs every other caller of the process time.',
    ),
    body_max_depth: count(64, 8, 512, 'Deepest nesting of a request body.'),
    request_timeout_ms: milliseconds(
      30_000,
      1_000,
      600_000,
      'How long a caller may take to send its whole request.',
    ),
    open_calls_max: count(
      20_000,
      1,
      200_000,
      'Calls one ingress process holds open at once; more are refused with 503.',
    ),
    trusted_proxies: z
      .array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], 'use an IP address or a CIDR range'))
      .max(100)
      .default([])
      .describe(
        'Proxies whose X-Forwarded-For says where a call comes from; addresses or CIDR ranges. Empty: the address of the connection counts.',
      ),
    drain_ms: milliseconds(
      120_000,
      0,
      3_600_000,
      'How long a stopping ingress lets open calls finish; then they are told where their job goes on.',
    ),
  })
  .prefault({});

const jobsSchema = z
  .strictObject({
    await_max_seconds: seconds(
      590,
      1,
      3_600,
      'Longest time an awaited call is held open. The OpenAI SDK gives up after 600 s by itself.',
    ),
    deadline_max_seconds: seconds(
      daySeconds,
      1,
      30 * daySeconds,
      'A job that has not started by then expires, whatever its own deadline.',
    ),
    retention_seconds: seconds(daySeconds, 60, 30 * daySeconds, 'How long a finished job can be read.'),
    idempotency_seconds: seconds(
      daySeconds,
      60,
      30 * daySeconds,
      'How long an Idempotency-Key is remembered.',
    ),
    attempts_max: count(
      5,
      1,
      100,
      'Provider requests made for one job before its last failure is its outcome.',
    ),
    refusals_max: count(
      100,
      1,
      10_000,
      'Quota refusals (429) of the provider after which a job fails; they do not count as attempts.',
    ),
    crashes_max: count(3, 1, 20, 'Workers a job may take down before it fails as worker_crashed.'),
    retry_base_ms: milliseconds(500, 1, 60_000, 'First retry delay; doubled each time, with full jitter.'),
    retry_max_ms: milliseconds(30_000, 1, 3_600_000, 'Longest retry delay the broker chooses itself.'),
    retry_after_max_ms: milliseconds(
      3_600_000,
      1_000,
      dayMs,
      'Longest Retry-After of a provider that is waited for; past it the job fails with the answer of the provider.',
    ),
    lease_ms: milliseconds(
      20_000,
      2_000,
      300_000,
      'How long a worker owns a job without renewing; only then may another worker take it over.',
    ),
    lease_beat_ms: milliseconds(5_000, 200, 60_000, 'How often a worker renews the leases of its jobs.'),
    takeover_grace_ms: milliseconds(
      30_000,
      0,
      300_000,
      'After its own (re)connection a worker leaves expired leases alone for this long, so that living owners renew first.',
    ),
    busy_recheck_ms: milliseconds(
      5_000,
      100,
      60_000,
      'Longest pause before a ticket is tried again whose job another worker holds.',
    ),
    sweep_ms: milliseconds(
      1_000,
      50,
      60_000,
      'How often the sweeper looks for jobs that fell between two steps.',
    ),
    sweep_batch: count(200, 1, 10_000, 'Jobs one sweep looks at per tenant.'),
    sweep_first_ms: milliseconds(10_000, 100, 600_000, 'Age at which an unfinished job is looked at first.'),
    sweep_max_ms: milliseconds(
      300_000,
      1_000,
      dayMs,
      'Longest pause between two looks at the same job; the pause doubles up to it.',
    ),
    pool_gone_ms: milliseconds(
      60_000,
      1_000,
      dayMs,
      'How long a pool must be missing from the configuration of every worker before its waiting jobs end as `pool_removed`.',
    ),
    submit_max: count(1_000, 1, 10_000, 'Jobs one array body of POST /v1/jobs may submit.'),
    learned_models_max: count(
      64,
      1,
      10_000,
      'Models per tenant of which real token counts are remembered; beyond, one at random is forgotten.',
    ),
    learned_refresh_ms: milliseconds(
      5_000,
      10,
      600_000,
      'How old what an ingress knows of a tenant’s real token counts may be before it is read again, in the background.',
    ),
    learned_tenants_max: count(
      10_000,
      1,
      1_000_000,
      'Tenants whose real token counts an ingress keeps in memory.',
    ),
    usage_cells_max: count(
      2_000,
      10,
      1_000_000,
      'Combinations of key, team, user, feature, route, provider and model that the usage of a tenant tells apart per day; beyond, users and features are `(other)`. Each takes about 200 bytes of Redis for as long as the day can be read.',
    ),
    usage_retention_days: count(400, 1, 3_660, 'How long the usage of a day can be read. Days.'),
    ledger_rows_max: count(1_000_000, 1_000, 100_000_000, 'Ledger rows kept per tenant (approximate).'),
  })
  .refine((jobs) => jobs.lease_beat_ms * 2 <= jobs.lease_ms, {
    path: ['lease_beat_ms'],
    error: 'must be at most half of jobs.lease_ms, or living workers lose their jobs',
  })
  .refine((jobs) => jobs.retry_base_ms <= jobs.retry_max_ms, {
    path: ['retry_base_ms'],
    error: 'must not exceed jobs.retry_max_ms',
  })
  .prefault({});

const workersSchema = z
  .strictObject({
    loop: z
      .enum(['claim', 'stock'])
      .default('claim')
      .describe(
        'How tickets are taken from BullMQ: `claim` asks for several at once, `stock` is the BullMQ Worker.',
      ),
    lock_ms: milliseconds(
      30_000,
      5_000,
      300_000,
      'Lock of a ticket in BullMQ. The lease of the job record decides; this only returns tickets of dead workers.',
    ),
    stalled_check_ms: milliseconds(
      10_000,
      500,
      300_000,
      'How often BullMQ looks for tickets whose lock ended.',
    ),
    forget_ms: milliseconds(
      3_600_000,
      60_000,
      dayMs,
      'A worker of which nothing was heard for this long leaves the register of workers.',
    ),
    fairness_sample_ms: milliseconds(
      60_000,
      50,
      3_600_000,
      'How often one worker per pool measures how fairly it is shared, and how well starts were foretold.',
    ),
    settle_retry_max_ms: milliseconds(
      900_000,
      1_000,
      dayMs,
      'How long a worker keeps trying to store a finished answer while Redis refuses.',
    ),
    drain_ms: milliseconds(120_000, 0, 3_600_000, 'How long a stopping worker lets running calls finish.'),
    stop_timeout_ms: milliseconds(
      150_000,
      1_000,
      3_600_000,
      'Longest time one part of a process may take to stop before it is left behind.',
    ),
  })
  .prefault({});

const telemetrySchema = z
  .strictObject({
    log_level: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
      .default('info')
      .describe('Least severe log line written.'),
    otlp_endpoint: z
      .string()
      .optional()
      .describe('OpenTelemetry collector (OTLP over HTTP). Unset: no traces.'),
  })
  .prefault({});

const settingsObject = z.strictObject({
  http: httpSchema,
  operations: operationsSchema,
  admin: adminSchema,
  simulator: simulatorSchema,
  redis: redisSchema,
  reload: reloadSchema,
  overlay: overlaySchema,
  jobs: jobsSchema,
  quotas: quotasSchema,
  replies: repliesSchema,
  blobs: blobsSchema,
  batches: batchesSchema,
  files: filesSchema,
  payloads: payloadsSchema,
  cache: cacheSchema,
  streams: streamsSchema,
  sockets: socketsSchema,
  workers: workersSchema,
  webhooks: webhooksSchema,
  telemetry: telemetrySchema,
  routing: routingSchema,
  providers: z.record(name, providerSchema).describe('Providers by name.'),
  customers: customersSchema,
  routes: routesSchema,
});

/** Every setting of Sluice. `npm run reference` writes REFERENCE.md from it. */
export const settingsSchema = settingsObject.superRefine(refuseUnknownTargets);

/** Groups that may change while processes run; all others need a restart. */
export const liveGroups = ['providers', 'customers', 'routes'] as const satisfies readonly (keyof Settings)[];

export type Settings = z.output<typeof settingsSchema>;
export {
  type FallbackCondition,
  fallbackPreset,
  type QualitySettings,
  type RouteSettings,
  type TargetSettings,
} from './route-schema.ts';
export { compileRule, type Rule, type RuleFacts } from './rule-language.ts';
export type ProviderSettings = Settings['providers'][string];
export type JobSettings = Settings['jobs'];

/** Environment variables that set a value of the file, with its path. */
export const environmentOverrides = {
  PORT: ['http', 'port'],
  ADMIN_PORT: ['operations', 'port'],
  SIMULATOR_PORT: ['simulator', 'port'],
  SLUICE_DATA_DIR: ['redis', 'data_dir'],
  REDIS_URL: ['redis', 'url'],
  SLUICE_ADMIN_KEY: ['admin', 'key'],
  SLUICE_LOG_LEVEL: ['telemetry', 'log_level'],
  OTEL_EXPORTER_OTLP_ENDPOINT: ['telemetry', 'otlp_endpoint'],
} as const satisfies Record<string, readonly [keyof Settings, string]>;
