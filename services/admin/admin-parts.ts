import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { PoolSurvey } from '#shared/queue/survey-pools.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

/** What the routes of the admin API are made of. */
export interface AdminParts {
  /** What holds now. */
  readonly settings: Settings;
  clock: Clock;
  metrics: Metrics;
  /** How all pools are. */
  survey: () => Promise<PoolSurvey>;
}
