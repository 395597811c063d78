import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { benchKey, benchModel } from './bench-call.ts';
import type { Child, Children } from './children.ts';
import type { TargetName } from './options.ts';
import { startPortkey } from './portkey.ts';
import { startRedis } from './redis-server.ts';

/** Something that answers the bench's call, and the processes whose CPU time it costs. */
export interface Target {
  name: TargetName;
  origin: string;
  processes: readonly Child[];
  /** What its calls carry beside what all do. */
  headers?: Record<string, string>;
}

export interface TargetParts {
  children: Children;
  redisServer: string;
  folder: string;
  simulatorUrl: string;
  profileFolder: string | undefined;
}

type Started = Omit<Target, 'name'>;

const workerConcurrency = 256;
const retentionSeconds = 60;
const readyUrl = /(http:\/\/\S+)/;

/** Node arguments of every process under test. */
function nodeArgs({ profileFolder }: TargetParts, entry: string, ...args: string[]): string[] {
  const flags = profileFolder
    ? [
        '--cpu-prof',
        `--cpu-prof-dir=${profileFolder}`,
        `--cpu-prof-name=${entry.replaceAll('/', '-')}.cpuprofile`,
      ]
    : [];
  return [...flags, entry, ...args];
}

async function startProxy(parts: TargetParts): Promise<Started> {
  const args = nodeArgs(parts, 'loadtest/bench/proxy/main.ts', parts.simulatorUrl);
  const { child, said } = await parts.children.start({ name: 'proxy', args, ready: readyUrl });
  return { origin: said, processes: [child] };
}

async function startStock(parts: TargetParts): Promise<Started> {
  const { children, redisServer, folder, simulatorUrl } = parts;
  const redis = await startRedis(children, redisServer, folder, 'redis-stock');
  const port = String(redis.port);
  const worker = await children.start({
    name: 'worker',
    args: nodeArgs(parts, 'loadtest/bench/stock-worker/main.ts', port, simulatorUrl),
    ready: /worker ready/,
  });
  const ingress = await children.start({
    name: 'ingress',
    args: nodeArgs(parts, 'loadtest/bench/stock-ingress/main.ts', port),
    ready: readyUrl,
  });
  return { origin: ingress.said, processes: [ingress.child, worker.child, redis.child] };
}

/** The configuration of Sluice under test: its defaults, one provider with one pool, one tenant. */
async function writeConfiguration({ folder, simulatorUrl }: TargetParts): Promise<string> {
  const path = join(folder, 'sluice.yaml');
  const pools = { chat: { models: [benchModel], concurrency: workerConcurrency } };
  const credentials = [{ id: 'main', api_key: 'sk-simulator' }];
  const configuration = {
    http: { host: '127.0.0.1', port: 0 },
    operations: { port: 0 },
    jobs: { retention_seconds: retentionSeconds, idempotency_seconds: retentionSeconds },
    redis: { data_dir: folder },
    providers: { openai: { dialect: 'openai', base_url: `${simulatorUrl}/v1`, credentials, pools } },
    customers: { bench: { keys: [{ id: 'bench', key: benchKey }] } },
  };
  await writeFile(path, stringify(configuration));
  return path;
}

async function startSluice(parts: TargetParts, name: string, checkout?: string): Promise<Started> {
  const { children, redisServer, folder } = parts;
  const redis = await startRedis(children, redisServer, folder, `redis-${name}`);
  const place = checkout === undefined ? {} : { folder: resolve(checkout) };
  const environment = {
    SLUICE_CONFIG: await writeConfiguration(parts),
    REDIS_URL: `redis://127.0.0.1:${redis.port}`,
  };
  const worker = await children.start({
    name: 'worker',
    args: nodeArgs(parts, 'services/worker/main.ts'),
    environment,
    ...place,
    ready: /"worker ready"/,
  });
  const ingress = await children.start({
    name: 'ingress',
    args: nodeArgs(parts, 'services/ingress/main.ts'),
    environment,
    ...place,
    ready: /"port":(\d+).*"ingress ready"/,
  });
  return {
    origin: `http://127.0.0.1:${ingress.said}`,
    processes: [ingress.child, worker.child, redis.child],
  };
}

async function startSluiceAll(parts: TargetParts): Promise<Started> {
  const { children, redisServer, folder } = parts;
  const redis = await startRedis(children, redisServer, folder, 'redis-sluice-all');
  const { child, said } = await children.start({
    name: 'all',
    args: nodeArgs(parts, 'services/all.ts'),
    environment: {
      SLUICE_CONFIG: await writeConfiguration(parts),
      REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    },
    ready: /Sluice is up: (http:\/\/\S+)/,
  });
  return { origin: said, processes: [child, redis.child] };
}

const starters: Record<string, (parts: TargetParts) => Promise<Started>> = {
  direct: async ({ simulatorUrl }) => ({ origin: simulatorUrl, processes: [] }),
  proxy: startProxy,
  portkey: ({ children, simulatorUrl }) => startPortkey(children, simulatorUrl),
  stock: startStock,
  sluice: (parts) => startSluice(parts, 'sluice'),
  'sluice-all': startSluiceAll,
};

/** Starts what the named targets need; a name that ends in `-again` shares the processes of the one before it. */
export async function startTargets(
  parts: TargetParts,
  names: readonly TargetName[],
  against: readonly string[],
): Promise<Target[]> {
  const started = new Map<string, Started>();
  const targets: Target[] = [];
  for (const name of names) {
    const base = name.replace('-again', '');
    const running = started.get(base) ?? (await starters[base]!(parts));
    started.set(base, running);
    targets.push({ name, ...running });
  }
  for (const [index, checkout] of against.entries()) {
    const name = `against-${index + 1}` as const;
    targets.push({ name, ...(await startSluice(parts, name, checkout)) });
  }
  return targets;
}
