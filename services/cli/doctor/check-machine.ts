import { access, constants } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import type { Settings } from '#config/schema.ts';
import { folderOwner } from '#shared/redis/embedded-server.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { portHolder } from './port-holder.ts';

const oldestNode = [22, 19] as const;
/** Sluice is developed and tested on this one. */
const testedNode = 24;
const askMs = 1_000;

export function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const hint = `Use Node ${testedNode}.`;
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1]))
    return fail('node', `${version} cannot run TypeScript`, hint);
  return major < testedNode
    ? warn('node', `${version}, tested with ${testedNode}`, hint)
    : ok('node', version);
}

const isWritable = (folder: string) =>
  access(folder, constants.W_OK).then(
    () => true,
    (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? undefined : false),
  );

/** Whether the data folder can be written, or made; nothing is made here. */
export async function checkDataFolder(dataDir: string): Promise<Check> {
  for (let folder = resolve(dataDir); ; folder = dirname(folder)) {
    const writable = await isWritable(folder);
    if (writable === undefined && folder !== dirname(folder)) continue;
    if (!writable)
      return fail('data folder', `${folder} cannot be written`, 'Set SLUICE_DATA_DIR to a folder of yours.');
    return ok('data folder', folder === resolve(dataDir) ? folder : `${dataDir} can be made`);
  }
}

/** What a Sluice that was killed leaves in its folder. */
export async function checkLeftLocks(dataDir: string): Promise<Check> {
  const owner = await folderOwner(join(dataDir, 'redis'));
  if (!owner) return ok('lock of the data folder', 'free');
  if (owner.runs) return ok('lock of the data folder', `held by process ${owner.pid}, which runs`);
  return warn(
    'lock of the data folder',
    `left behind by process ${owner.pid}, which has ended`,
    'Nothing to do: the next start takes it over.',
  );
}

/** Ports that this configuration needs: free, or held by a Sluice already. */
export function checkPorts(settings: Settings): Promise<Check[]> {
  const { http, operations, simulator, providers } = settings;
  const simulated = Object.values(providers).every(({ credentials }) => credentials.length === 0);
  return Promise.all([
    checkPort('public port', http.host, http.port, 'PORT'),
    checkPort('operations port', operations.host, operations.port, 'ADMIN_PORT'),
    ...(simulated ? [checkPort('simulator port', '127.0.0.1', simulator.port, 'SIMULATOR_PORT')] : []),
  ]);
}

async function checkPort(name: string, host: string, port: number, variable: string): Promise<Check> {
  if (port === 0) return ok(name, 'any free one');
  const trouble = await tryToListen(host, port);
  if (!trouble) return ok(name, `${port} is free`);
  if (trouble !== 'EADDRINUSE')
    return fail(name, `${host}:${port} cannot be used (${trouble})`, `Set ${variable} to another port.`);
  const holder = portHolder(port);
  const who = holder ? `process ${holder.pid}` : 'another process';
  if (await isSluice(port, holder?.command ?? '')) return ok(name, `${port}: Sluice runs there (${who})`);
  const command = holder ? `: ${holder.command.slice(0, 60)}` : '';
  return fail(name, `${port} is taken by ${who}${command}`, `Set ${variable} to another port, or end it.`);
}

function tryToListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => done(undefined)));
  });
}

/** Sluice says so itself on its public and operations ports; its simulator is known by its command. */
async function isSluice(port: number, command: string): Promise<boolean> {
  if (command.includes('loadtest/simulator/')) return true;
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`, {
    signal: AbortSignal.timeout(askMs),
  }).catch(() => undefined);
  const text = answer?.ok ? await answer.text().catch(() => '') : '';
  return text === 'ok\n' || text === '{"status":"ok"}';
}
