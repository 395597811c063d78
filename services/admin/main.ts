import { loadSettings } from '#config/load.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { createLogger } from '#shared/telemetry/logger.ts';
import { createMetrics } from '#shared/telemetry/metrics.ts';
import { startTracing } from '#shared/telemetry/tracing.ts';
import { composeProcess, runProcess } from '../run-process.ts';
import { SettingsWatcher } from '../watch-settings.ts';

const live = new LiveValue(loadSettings());
const settings = live.current;
const adminKey = settings.admin.key;
if (adminKey === undefined)
  throw new Error('The admin API has no key: set SLUICE_ADMIN_KEY, or admin.key in the configuration.');
const log = createLogger(settings.telemetry, 'admin');
const tracing = await startTracing(settings.telemetry, 'sluice-admin');
const { createAdminApp } = await import('./app.ts');
const metrics = createMetrics({ processMetrics: true });
const redisUrl = settings.redis.url ?? 'redis://127.0.0.1:6379';
const admin = createAdminApp({ live, redisUrl, log, metrics, clock: systemClock, adminKey });
const watcher = new SettingsWatcher({ live, read: () => loadSettings(), log, metrics });
const announce = () => log.info({ port: admin.port }, 'admin ready');
await runProcess(composeProcess(settings, log, [tracing, admin, watcher], announce), log);
