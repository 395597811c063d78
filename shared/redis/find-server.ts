import { execFile } from 'node:child_process';
import { access, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
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
  /** Folders to search for a server, and for the programs that install one, in the form of PATH. */
  path: string;
  /** Where a private copy may be unpacked. */
  cacheDir: string;
  say: (line: string) => void;
}

async function findOnPath(path: string, names = serverNames): Promise<string | undefined> {
  for (const folder of path.split(delimiter).filter(Boolean)) {
    for (const name of names) {
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

/** Paths of apt's programs. */
interface AptTools {
  aptGet: string;
  dpkg: string;
}

const aptPackages = ['redis-server', 'redis-tools'];

/** Settings that keep apt inside `state`, so that it needs no root and changes nothing on the system. */
function aptOptions(state: string): string[] {
  const settings = [
    `Dir::State::Lists=${join(state, 'lists')}`,
    `Dir::Cache=${state}`,
    `Dir::Cache::archives=${join(state, 'archives')}`,
    'Debug::NoLocking=1',
    'APT::Sandbox::User=',
  ];
  return settings.flatMap((setting) => ['-o', setting]);
}

/** Downloads Debian's redis-server and the libraries it misses with apt (signatures checked by apt) into `root`. */
async function unpackFromApt(root: string, state: string, { aptGet, dpkg }: AptTools): Promise<void> {
  await mkdir(join(state, 'lists', 'partial'), { recursive: true });
  await mkdir(join(state, 'archives', 'partial'), { recursive: true });
  const limits = { timeout: installTimeoutMs, cwd: root };
  const apt = (...args: string[]) => run(aptGet, [...aptOptions(state), ...args], limits);
  await apt('update', '-q');
  // --reinstall: also where the system has the packages, but not on the path that was searched.
  const plan = [
    'install',
    '--reinstall',
    '--print-uris',
    '-y',
    '-qq',
    '--no-install-recommends',
    ...aptPackages,
  ];
  const { stdout } = await apt(...plan);
  const packages = [...stdout.matchAll(/^'[^']*' ([^_\s]+)_/gm)].map((match) => match[1]!);
  await apt('download', '-q', ...packages);
  for (const file of (await readdir(root)).filter((entry) => entry.endsWith('.deb'))) {
    await run(dpkg, ['-x', file, root], limits);
    await rm(join(root, file));
  }
}

/** Unpacks beside the final folder and moves it there at the end, so that a broken-off download is never used. */
async function installFromApt(cacheDir: string, tools: AptTools): Promise<string> {
  await mkdir(cacheDir, { recursive: true });
  const unfinished = await mkdtemp(join(cacheDir, 'unfinished-'));
  const root = join(unfinished, 'redis-server');
  try {
    await mkdir(root);
    await unpackFromApt(root, join(unfinished, 'apt'), tools);
    // Another process may have been faster: its copy is as good.
    await rename(root, join(cacheDir, 'redis-server')).catch(() => undefined);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return join(cacheDir, 'redis-server', 'usr', 'bin', 'redis-server');
}

async function installServer({ path, cacheDir, say }: FindServerOptions): Promise<string | undefined> {
  const [aptGet, dpkg, brew] = await Promise.all(
    ['apt-get', 'dpkg', 'brew'].map((name) => findOnPath(path, [name])),
  );
  if (aptGet && dpkg) {
    say(
      'No Redis on this machine: fetching redis-server with apt into the data folder (once, a few seconds) …',
    );
    return await installFromApt(cacheDir, { aptGet, dpkg });
  }
  if (brew) {
    say('No Redis on this machine: running `brew install redis` (once) …');
    await run(brew, ['install', 'redis'], { timeout: installTimeoutMs });
    return (await findOnPath(path)) ?? (await findOnPath('/opt/homebrew/bin:/usr/local/bin'));
  }
  return undefined;
}

/** Path of a server that is there already. */
export async function findInstalledServer({
  path,
  cacheDir,
}: Omit<FindServerOptions, 'say'>): Promise<string | undefined> {
  return (
    (await findOnPath(path)) ?? (await findOnPath(join(resolve(cacheDir), 'redis-server', 'usr', 'bin')))
  );
}

/**
 * Path of a Redis or Valkey server: from PATH, from an earlier download, or installed now (apt without root, brew).
 *
 * @throws Error that says exactly what to type
 */
export async function findServer(options: FindServerOptions): Promise<string> {
  const present = await findInstalledServer(options);
  if (present) return present;
  const cacheDir = resolve(options.cacheDir);
  try {
    const installed = await installServer({ ...options, cacheDir });
    if (installed) {
      await run(installed, ['--version'], { env: { LD_LIBRARY_PATH: libraryPathOf(installed) } });
      return installed;
    }
  } catch (cause) {
    throw new Error(`${howToInstall}\nWhat went wrong: ${lastLine(cause)}`, { cause });
  }
  throw new Error(howToInstall);
}

/** The last line a program wrote before it failed: the one that says why. */
function lastLine(error: unknown): string {
  const { stderr = '', message } = error as Error & { stderr?: string };
  return (stderr.trim() || message).split('\n').at(-1)!;
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
