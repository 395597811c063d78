import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../cluster/free-port.ts';
import type { Child, Children } from './children.ts';

const version = '1.15.2';
const folder = fileURLToPath(new URL(`../../data/cache/portkey-${version}`, import.meta.url));
const entry = `${folder}/node_modules/@portkey-ai/gateway/build/start-server.js`;

/**
 * Portkey's open gateway, one process as its own start script runs it. It is no dependency of this project: npm fetches
 * it when the target is named for the first time.
 */
export async function startPortkey(children: Children, simulatorUrl: string) {
  if (!existsSync(entry)) {
    console.error(`Fetching @portkey-ai/gateway ${version} with npm …`);
    const flags = ['--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund'];
    await promisify(execFile)('npm', ['install', ...flags, `@portkey-ai/gateway@${version}`]);
  }
  const port = await freePort();
  const { child }: { child: Child } = await children.start({
    name: 'portkey',
    args: [entry, `--port=${port}`, '--headless'],
    environment: { NODE_ENV: 'production' },
    ready: /Ready for connections/,
  });
  const headers = { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${simulatorUrl}/v1` };
  return { origin: `http://127.0.0.1:${port}`, processes: [child], headers };
}
