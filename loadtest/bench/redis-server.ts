import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { executablePath } from '#config/load.ts';
import { findServer, libraryPathOf } from '#shared/redis/find-server.ts';
import { freePort } from '../cluster/free-port.ts';
import type { Child, Children } from './children.ts';

/** Said in the report; the arguments below make it true. */
export const durabilityMode = 'append-only file, fsync every second; no rewrite of the file during the run';

/** Path of the Redis server that all targets use. */
export function findBenchServer(): Promise<string> {
  const cacheDir = fileURLToPath(new URL('../../data/cache', import.meta.url));
  return findServer({ path: executablePath(), cacheDir, say: console.log });
}

function environmentOf(server: string): Record<string, string> {
  const libraryPath = libraryPathOf(server);
  return libraryPath ? { LD_LIBRARY_PATH: libraryPath } : {};
}

export async function serverVersion(server: string): Promise<string> {
  const { stdout } = await promisify(execFile)(server, ['--version'], { env: environmentOf(server) });
  return /v=(\S+)/.exec(stdout)?.[1] ?? 'unknown';
}

/** A real Redis of one target's own, set up as the embedded one of `npm start`. */
export async function startRedis(
  children: Children,
  server: string,
  folder: string,
  name: string,
): Promise<{ child: Child; port: number }> {
  const port = await freePort();
  const dir = join(folder, name);
  await mkdir(dir);
  const { child } = await children.start({
    name: 'redis',
    command: server,
    args: [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''],
      ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--auto-aof-rewrite-percentage', '0'],
      ...['--maxmemory-policy', 'noeviction', '--hash-max-listpack-value', '2048'],
    ],
    environment: environmentOf(server),
    ready: /Ready to accept connections/,
  });
  return { child, port };
}
