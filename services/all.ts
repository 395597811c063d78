// Everything in one process: an embedded Redis unless REDIS_URL names one, the provider simulator unless a provider
// key is configured, one ingress, one worker, one webhook service, the admin API. `npm start` runs this.
import { join } from 'node:path';
import { executablePath, loadSettings, secretKeys } from '#config/load.ts';
import type { Settings } from '#config/schema.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { systemRandom } from '#shared/kernel/random.ts';
import { EmbeddedServer } from '#shared/redis/embedded-server.ts';
import { findServer } from '#shared/redis/find-server.ts';
import { loggedLifecycle } from '#shared/telemetry/logged-lifecycle.ts';
import { createLogger, type Logger } from '#shared/telemetry/logger.ts';
import { createMetrics } from '#shared/telemetry/metrics.ts';
import { startTracing } from '#shared/telemetry/tracing.ts';
import { KeyHasher } from '#shared/tenants/key-hash.ts';
import { adminKeyOf, fillEmptyKeys, keptSecretKeys } from './development-key.ts';
import { OverlayFollower } from './follow-overlay.ts';
import { openSecrets } from './open-secrets.ts';
import { runProcess } from './run-process.ts';
import { reachableHost, removeRunningFile, writeRunningFile } from './running-file.ts';
import { routeToSimulator, SimulatorProcess } from './simulator-process.ts';
import { SettingsWatcher } from './watch-settings.ts';

const say = (line: string) => console.log(line);

async function embeddedRedis(settings: Settings): Promise<EmbeddedServer | undefined> {
  if (settings.redis.url) return undefined;
  const { data_dir, start_timeout_ms } = settings.redis;
  return new EmbeddedServer({
    server: await findServer({ path: executablePath(), cacheDir: join(data_dir, 'cache'), say }),
    dataDir: join(data_dir, 'redis'),
    clock: systemClock,
    startTimeoutMs: start_timeout_ms,
    onUnexpectedExit: (detail) => {
      console.error(`The embedded Redis ended (${detail}).`);
      process.kill(process.pid, 'SIGTERM');
    },
  });
}

interface Shown {
  url: string;
  operationsUrl: string;
  key: string;
  adminKey: string;
}

function greeting({ url, operationsUrl, key, adminKey }: Shown, simulated: boolean): string {
  const model = 'gpt-5-mini';
  return [
    '',
    `Sluice is up: ${url}   (API description: ${url}/docs)`,
    simulated
      ? 'No provider key is configured, so calls go to the provider simulator.'
      : 'Calls go to the configured providers.',
    `Key of the tenant: ${key}`,
    `Admin API: ${operationsUrl}   (description: ${operationsUrl}/docs), key: ${adminKey}`,
    '',
    'Try it:',
    `curl -s ${url}/v1/chat/completions -H 'authorization: Bearer ${key}' -H 'content-type: application/json' -d '{"model":"${model}","messages":[{"role":"user","content":"Say hello"}]}'`,
    '',
  ].join('\n');
}

/** The parts in the order they need each other: the applications are built once Redis and the simulator are up. */
async function createAllInOne(
  settings: Settings,
  keys: Pick<Shown, 'key' | 'adminKey'>,
  log: Logger,
): Promise<Service> {
  const tracing = await startTracing(settings.telemetry, 'sluice');
  const redisServer = await embeddedRedis(settings);
  const simulator = hasCredential(settings) ? undefined : new SimulatorProcess(settings.simulator);
  const lifecycle = loggedLifecycle(settings, systemClock, log);
  return {
    name: 'sluice',
    async start() {
      await lifecycle.start([tracing, redisServer, simulator].filter((part) => part !== undefined));
      const route = (read: Settings) =>
        simulator && !hasCredential(read) ? routeToSimulator(read, simulator.url) : read;
      const redisUrl = redisServer?.url ?? settings.redis.url!;
      const { services, ingress, admin } = await createApps(settings, route, redisUrl, keys.adminKey, log);
      await lifecycle.start(services);
      const url = `http://${reachableHost(settings.http.host)}:${ingress.port}`;
      const operationsUrl = `http://${reachableHost(settings.operations.host)}:${admin.port}`;
      const shown = { ...keys, url, operationsUrl };
      await writeRunningFile(settings.redis.data_dir, shown);
      say(greeting(shown, simulator !== undefined));
    },
    async stop() {
      await removeRunningFile(settings.redis.data_dir);
      await lifecycle.stop();
    },
  };
}

const hasCredential = ({ providers }: Settings) =>
  Object.values(providers).some(({ credentials }) => credentials.length > 0);

async function createApps(
  settings: Settings,
  route: (read: Settings) => Settings,
  redisUrl: string,
  adminKey: string,
  log: Logger,
) {
  // Imported after tracing has started, so that it sees Fastify's HTTP server.
  const [{ createIngressApp }, { createWorkerApp }, { createWebhookApp }, { createAdminApp }] =
    await Promise.all([
      import('./ingress/app.ts'),
      import('./worker/app.ts'),
      import('./webhook/app.ts'),
      import('./admin/app.ts'),
    ]);
  const metrics = createMetrics({ processMetrics: true });
  const base = new LiveValue(settings);
  const live = new LiveValue(route(settings));
  const kept = await keptSecretKeys(settings.redis.data_dir, secretKeys());
  const secrets = openSecrets(kept, log);
  const keyHasher = new KeyHasher(kept);
  const overlay = new OverlayFollower({ base, live, finish: route, redisUrl, secrets, log, metrics });
  const common = { live, redisUrl, log, metrics, clock: systemClock, random: systemRandom, secrets };
  const ingress = createIngressApp({ ...common, keyHasher });
  const worker = createWorkerApp({ ...common, pools: ['*'] });
  const webhook = createWebhookApp(common);
  const admin = createAdminApp({
    ...common,
    keyHasher,
    base,
    adminKey,
    random: systemRandom,
    probe: ingress.probe,
  });
  const read = async () => (await fillEmptyKeys(loadSettings())).settings;
  const watcher = new SettingsWatcher({ live: base, read, log, metrics });
  return { ingress, admin, services: [overlay, worker, webhook, ingress, admin, watcher] };
}

try {
  const { settings, shownKey } = await fillEmptyKeys(loadSettings());
  const log = createLogger(settings.telemetry, 'all');
  const keys = { key: shownKey, adminKey: await adminKeyOf(settings) };
  await runProcess(await createAllInOne(settings, keys, log), log);
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
