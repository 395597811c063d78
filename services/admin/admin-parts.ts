import type { Settings } from '#config/schema.ts';
import type { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { AuditLog } from '#shared/overlay/audit-log.ts';
import type { PoolSurvey } from '#shared/queue/survey-pools.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import type { KeyMaker } from './key-maker.ts';
import type { AdminObjects } from './objects/admin-objects.ts';

/** What the routes of the admin API are made of. */
export interface AdminParts {
  /** What holds now. */
  readonly settings: Settings;
  clock: Clock;
  metrics: Metrics;
  redis: RedisConnection;
  /** How all pools are. */
  survey: () => Promise<PoolSurvey>;
  /** Everything that can be read and changed. */
  objects: AdminObjects;
  /** Who changed what. */
  audit: AuditLog;
  keys: KeyMaker;
  endpoints: EndpointStore;
}
