import { loadSettings, secretKeys } from '#config/load.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { systemRandom } from '#shared/kernel/random.ts';
import { createLogger } from '#shared/telemetry/logger.ts';
import { createMetrics } from '#shared/telemetry/metrics.ts';
import { OperationsServer } from '#shared/telemetry/operations-server.ts';
import { startTracing } from '#shared/telemetry/tracing.ts';
import { OverlayFollower } from '../follow-overlay.ts';
import { openSecrets } from '../open-secrets.ts';
import { composeProcess, runProcess } from '../run-process.ts';
import { SettingsWatcher } from '../watch-settings.ts';

const base = new LiveValue(loadSettings());
const live = new LiveValue(base.current);
const settings = live.current;
const log = createLogger(settings.telemetry, 'webhook');
const tracing = await startTracing(settings.telemetry, 'sluice-webhook');
const { createWebhookApp } = await import('./app.ts');
const metrics = createMetrics({ processMetrics: true });
const redisUrl = settings.redis.url ?? 'redis://127.0.0.1:6379';
const secrets = openSecrets(secretKeys(), log);
const webhook = createWebhookApp({
  live,
  redisUrl,
  log,
  metrics,
  clock: systemClock,
  random: systemRandom,
  secrets,
});
const operations = new OperationsServer({ ...settings.operations, metrics, probe: webhook.probe });
const overlay = new OverlayFollower({ base, live, redisUrl, secrets, log, metrics });
// Settings of webhooks need a restart; a change is reported, and SIGHUP ends nothing.
const watcher = new SettingsWatcher({ live: base, read: () => loadSettings(), log, metrics });
const announce = () => log.info({ operationsPort: operations.port }, 'webhook ready');
await runProcess(
  composeProcess(settings, log, [tracing, overlay, webhook, operations, watcher], announce),
  log,
);
