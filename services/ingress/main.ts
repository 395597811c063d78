import { loadSettings, secretKeys } from '#config/load.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { systemRandom } from '#shared/kernel/random.ts';
import { createLogger } from '#shared/telemetry/logger.ts';
import { createMetrics } from '#shared/telemetry/metrics.ts';
import { OperationsServer } from '#shared/telemetry/operations-server.ts';
import { startTracing } from '#shared/telemetry/tracing.ts';
import { KeyHasher } from '#shared/tenants/key-hash.ts';
import { OverlayFollower } from '../follow-overlay.ts';
import { openSecrets } from '../open-secrets.ts';
import { composeProcess, runProcess } from '../run-process.ts';
import { SettingsWatcher } from '../watch-settings.ts';

const base = new LiveValue(loadSettings());
const live = new LiveValue(base.current);
const settings = live.current;
const log = createLogger(settings.telemetry, 'ingress');
const tracing = await startTracing(settings.telemetry, 'sluice-ingress');
const { createIngressApp } = await import('./app.ts');
const metrics = createMetrics({ processMetrics: true });
const redisUrl = settings.redis.url ?? 'redis://127.0.0.1:6379';
const secrets = openSecrets(secretKeys(), log);
const keyHasher = new KeyHasher(secretKeys());
const ingress = createIngressApp({
  live,
  redisUrl,
  log,
  metrics,
  clock: systemClock,
  random: systemRandom,
  secrets,
  keyHasher,
});
const operations = new OperationsServer({
  ...settings.operations,
  metrics,
  probe: ingress.probe,
  reports: ingress.reports,
});
const overlay = new OverlayFollower({ base, live, redisUrl, secrets, log, metrics });
const watcher = new SettingsWatcher({ live: base, read: () => loadSettings(), log, metrics });
const announce = () => log.info({ port: ingress.port, operationsPort: operations.port }, 'ingress ready');
await runProcess(
  composeProcess(settings, log, [tracing, overlay, ingress, operations, watcher], announce),
  log,
);
