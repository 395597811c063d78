import { loadSettings, secretKeys } from '#config/load.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { createLogger } from '#shared/telemetry/logger.ts';
import { createMetrics } from '#shared/telemetry/metrics.ts';
import { startTracing } from '#shared/telemetry/tracing.ts';
import { OverlayFollower } from '../follow-overlay.ts';
import { openSecrets } from '../open-secrets.ts';
import { composeProcess, runProcess } from '../run-process.ts';
import { SettingsWatcher } from '../watch-settings.ts';

const base = new LiveValue(loadSettings());
const live = new LiveValue(base.current);
const settings = live.current;
const adminKey = settings.admin.key;
if (adminKey === undefined)
  throw new Error('The admin API has no key: set SLUICE_ADMIN_KEY, or admin.key in the configuration.');
const log = createLogger(settings.telemetry, 'admin');
const tracing = await startTracing(settings.telemetry, 'sluice-admin');
const { createAdminApp } = await import('./app.ts');
const metrics = createMetrics({ processMetrics: true });
const redisUrl = settings.redis.url ?? 'redis://127.0.0.1:6379';
const secrets = openSecrets(secretKeys(), log);
const overlay = new OverlayFollower({ base, live, redisUrl, secrets, log, metrics });
const common = { base, live, redisUrl, secrets, log, metrics, clock: systemClock };
const admin = createAdminApp({ ...common, adminKey });
const watcher = new SettingsWatcher({ live: base, read: () => loadSettings(), log, metrics });
const announce = () => log.info({ port: admin.port }, 'admin ready');
await runProcess(composeProcess(settings, log, [tracing, overlay, admin, watcher], announce), log);
