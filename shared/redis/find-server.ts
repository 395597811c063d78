import { execFile } from 'node:child_process';
import { access, constants, mkdir, readdir, rm } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const serverNames = ['redis-server', 'valkey-server'];
const installTimeoutMs = 300_000;
const howToInstall = [
  'No redis-server or valkey-server was found, and it could not be installed. Do one of these and start again:',
  '  Debian/Ubuntu:  sudo apt-get install -y redis-server',
  '  macOS:          brew install redis',
  '  your own Redis: REDIS_URL=redis://host:6379 npm start',
].join('\n');

export interface FindServerOptions {
  /** Folders to search, in the form of PATH. */
  path: string;
  /** Where a private copy may be unpacked. */
  cacheDir: string;
  say: (line: string) => void;
}

async function findOnPath(path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter).filter(Boolean)) {
    for (const name of serverNames) {
      const file = join(folder, name);
      const usable = await access(file, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (usable) return file;
    }
  }
  return undefined;
}

/**
 * Downloads Debian's redis-server and the libraries it misses with apt (signatures checked by apt), and unpacks them
 * into `cacheDir`. Needs no root and changes nothing on the system.
 */
async function unpackFromApt(cacheDir: string): Promise<string> {
  const root = join(cacheDir, 'redis-server');
  const state = join(cacheDir, 'apt');
  await mkdir(join(state, 'lists', 'partial'), { recursive: true });
  await mkdir(join(state, 'archives', 'partial'), { recursive: true });
  await mkdir(root, { recursive: true });
  const options = [
    '-o',
    `Dir::State::Lists=${join(state, 'lists')}`,
    '-o',
    `Dir::Cache=${state}`,
    '-o',
    `Dir::Cache::archives=${join(state, 'archives')}`,
    '-o',
    'Debug::NoLocking=1',
    '-o',
    'APT::Sandbox::User=',
  ];
  const limits = { timeout: installTimeoutMs, cwd: root };
  await run('apt-get', [...options, 'update', '-q'], limits);
  const { stdout } = await run(
    'apt-get',
    [...options, 'install', '--print-uris', '-y', '-qq', '--no-install-recommends', 'redis-server'],
    limits,
  );
  const packages = [...stdout.matchAll(/^'[^']*' ([^_\s]+)_/gm)].map((match) => match[1]!);
  await run('apt-get', [...options, 'download', '-q', ...packages], limits);
  for (const file of (await readdir(root)).filter((entry) => entry.endsWith('.deb'))) {
    await run('dpkg', ['-x', file, root], limits);
    await rm(join(root, file));
  }
  await rm(state, { recursive: true, force: true });
  return join(root, 'usr', 'bin', 'redis-server');
}

async function installServer(options: FindServerOptions): Promise<string | undefined> {
  const has = (command: string) =>
    run('which', [command]).then(
      () => true,
      () => false,
    );
  if ((await has('apt-get')) && (await has('dpkg'))) {
    options.say(
      'No Redis on this machine: fetching redis-server with apt into the data folder (once, a few seconds) …',
    );
    return await unpackFromApt(options.cacheDir);
  }
  if (await has('brew')) {
    options.say('No Redis on this machine: running `brew install redis` (once) …');
    await run('brew', ['install', 'redis'], { timeout: installTimeoutMs });
    return (await findOnPath(options.path)) ?? (await findOnPath('/opt/homebrew/bin:/usr/local/bin'));
  }
  return undefined;
}

/**
 * Path of a Redis or Valkey server: from PATH, from an earlier download, or installed now (apt without root, brew).
 *
 * @throws Error that says exactly what to type
 */
export async function findServer(options: FindServerOptions): Promise<string> {
  const cacheDir = resolve(options.cacheDir);
  const present =
    (await findOnPath(options.path)) ?? (await findOnPath(join(cacheDir, 'redis-server', 'usr', 'bin')));
  if (present) return present;
  try {
    const installed = await installServer({ ...options, cacheDir });
    if (installed) {
      await run(installed, ['--version'], { env: { LD_LIBRARY_PATH: libraryPathOf(installed) } });
      return installed;
    }
  } catch (cause) {
    throw new Error(howToInstall, { cause });
  }
  throw new Error(howToInstall);
}

const multiarch: Partial<Record<NodeJS.Architecture, string>> = {
  x64: 'x86_64-linux-gnu',
  arm64: 'aarch64-linux-gnu',
};

/** Library folders of an unpacked server (empty for one that the system installed). */
export function libraryPathOf(server: string): string {
  if (!server.endsWith(join('redis-server', 'usr', 'bin', 'redis-server'))) return '';
  const root = resolve(server, '..', '..', '..');
  const folder = multiarch[process.arch] ?? '';
  return [join(root, 'usr', 'lib', folder), join(root, 'lib', folder)].join(delimiter);
}
