import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type Settings, settingsSchema } from '#config/schema.ts';
import { Children } from '../cluster/children.ts';
import { freePort } from '../cluster/free-port.ts';
import { Provider } from '../cluster/provider.ts';
import { RedisServer } from '../cluster/redis-server.ts';
import { Supervised } from './supervised.ts';
import { batchConfiguration } from './workload.ts';

const firstByteMs = 5;

/** Redis, a provider, an ingress and workers as processes of their own. */
export interface BatchSystem {
  children: Children;
  redis: RedisServer;
  provider: Provider;
  ingress: Supervised;
  workers: Supervised[];
  /** Of the ingress; the same after a restart. */
  url: string;
  /** For the files of the run. */
  folder: string;
  settings: Settings;
}

export async function startSystem(lines: number, workerCount: number): Promise<BatchSystem> {
  const children = new Children();
  const [redis, provider] = await Promise.all([RedisServer.start(children), Provider.start(children, 1)]);
  await provider.answerAfter(firstByteMs);
  const folder = await children.folder();
  const port = await freePort();
  const configuration = batchConfiguration({ folder, providerUrl: provider.url, port, lines });
  const config = join(folder, 'sluice.yaml');
  await writeFile(config, stringify(configuration));
  const service = (name: 'ingress' | 'worker') => () =>
    children.node({
      name,
      args: [`services/${name}/main.ts`],
      env: { SLUICE_CONFIG: config, REDIS_URL: redis.url },
      ready: new RegExp(`"${name} ready"`),
    });
  const ingress = await Supervised.start(service('ingress'));
  const workers = await Promise.all(
    Array.from({ length: workerCount }, () => Supervised.start(service('worker'))),
  );
  const url = `http://127.0.0.1:${port}`;
  const settings = settingsSchema.parse(configuration);
  return { children, redis, provider, ingress, workers, url, folder, settings };
}
