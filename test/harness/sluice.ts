import { pino } from 'pino';
import type { Settings } from '#config/schema.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { seededRandom, systemRandom } from '#shared/kernel/random.ts';
import { createSecretBox } from '#shared/secrets/secret-box.ts';
import { createMetrics, type Metrics } from '#shared/telemetry/metrics.ts';
import { KeyHasher } from '#shared/tenants/key-hash.ts';
import { type Simulator, startSimulator } from '../../loadtest/simulator/start-simulator.ts';
import { createAdminApp } from '../../services/admin/app.ts';
import { OverlayFollower } from '../../services/follow-overlay.ts';
import { createIngressApp } from '../../services/ingress/app.ts';
import { createWebhookApp } from '../../services/webhook/app.ts';
import { createWorkerApp } from '../../services/worker/app.ts';
import { RedisProcess } from './redis-process.ts';
import {
  type SettingsOverrides,
  testAdminKey,
  testKey,
  testSecretKey,
  testSettings,
} from './test-settings.ts';

export interface TestSluice {
  url: string;
  settings: Settings;
  /** Replace it to change the settings of what runs. */
  live: LiveValue<Settings>;
  metrics: Metrics;
  redis: RedisProcess;
  simulator: Simulator;
  /** POSTs JSON with the test key. */
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  /** Asks the admin API, with its key unless headers say otherwise. */
  admin(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
  stop(): Promise<void>;
}

export interface SluiceOptions {
  settings?: SettingsOverrides;
  /** Start no worker: jobs stay in the queue. */
  withoutWorker?: boolean;
  /** Start the webhook service too. */
  withWebhooks?: boolean;
  /** Start the admin API too. */
  withAdmin?: boolean;
  redis?: RedisProcess;
  simulator?: Simulator;
}

export function newSimulator(): Promise<Simulator> {
  return startSimulator({ clock: systemClock, random: seededRandom(1) });
}

/** Ingress, worker and simulator in this process on a Redis of their own. */
export async function startSluice(options: SluiceOptions = {}): Promise<TestSluice> {
  const redis = options.redis ?? (await RedisProcess.start());
  const simulator = options.simulator ?? (await newSimulator());
  const settings = testSettings(simulator.url, {
    ...options.settings,
    redis: { data_dir: redis.dir, ...options.settings?.redis },
  });
  const metrics = createMetrics({ processMetrics: false });
  const base = new LiveValue(settings);
  const live = new LiveValue(settings);
  const common = {
    live,
    redisUrl: redis.url,
    log: pino({ level: settings.telemetry.log_level }),
    metrics,
    clock: systemClock,
    random: systemRandom,
    secrets: createSecretBox([testSecretKey]),
  };
  const ingress = createIngressApp({ ...common, keyHasher: new KeyHasher([testSecretKey]) });
  const services: Service[] = [ingress];
  if (!options.withoutWorker) services.unshift(createWorkerApp({ ...common, pools: ['*'] }));
  if (options.withWebhooks) services.push(createWebhookApp(common));
  const admin = createAdminApp({
    ...common,
    keyHasher: new KeyHasher([testSecretKey]),
    base,
    adminKey: testAdminKey,
    random: systemRandom,
  });
  if (options.withAdmin) {
    services.push(admin);
    services.unshift(new OverlayFollower({ ...common, base }));
  }
  for (const service of services) await service.start();
  const url = `http://127.0.0.1:${ingress.port}`;
  return {
    url,
    settings,
    live,
    metrics,
    redis,
    simulator,
    post: (path, body, headers = {}) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${testKey}`, 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
      }),
    get: (path, headers = {}) =>
      fetch(`${url}${path}`, { headers: { authorization: `Bearer ${testKey}`, ...headers } }),
    admin: (method, path, body, headers = {}) =>
      fetch(`http://127.0.0.1:${admin.port}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${testAdminKey}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        body: body === undefined || typeof body === 'string' ? (body ?? null) : JSON.stringify(body),
      }),
    async stop() {
      for (const service of services.toReversed()) await service.stop();
      if (!options.simulator) await simulator.stop();
      if (!options.redis) await redis.stop();
    },
  };
}

/** A chat call; `fault` scripts the simulator through the prompt. */
export function chat(text = 'hello', fault?: Record<string, unknown>): Record<string, unknown> {
  const marker = fault ? ` [[sim:${JSON.stringify(fault)}]]` : '';
  return { model: 'gpt-5-mini', messages: [{ role: 'user', content: `${text}${marker}` }] };
}
