import { execFile } from 'node:child_process';
import { access, chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { executablePath } from '#config/load.ts';
import { findServer, libraryPathOf } from '#shared/redis/find-server.ts';

const run = promisify(execFile);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice find '));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const said: string[] = [];
const find = (path: string, cache = 'cache') =>
  findServer({ path, cacheDir: join(folder, cache), say: (line) => said.push(line) });

/** A folder with one program of our own. */
async function program(name: string, script = 'exit 0'): Promise<string> {
  const path = await mkdtemp(join(folder, 'bin-'));
  await writeFile(join(path, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(path, name), 0o755);
  return path;
}

async function locate(name: string): Promise<string | undefined> {
  for (const each of executablePath().split(delimiter)) {
    const there = await access(join(each, name)).then(
      () => true,
      () => false,
    );
    if (there) return join(each, name);
  }
  return undefined;
}

test('the first Redis or Valkey of PATH is taken, and nothing is installed', async () => {
  const redis = await program('redis-server');
  const valkey = await program('valkey-server');
  const empty = await mkdtemp(join(folder, 'bin-'));
  expect(await find([empty, valkey, redis].join(delimiter))).toBe(join(valkey, 'valkey-server'));
  expect(await find([empty, redis, valkey].join(delimiter))).toBe(join(redis, 'redis-server'));
  expect(said).toEqual([]);
});

test('a file that cannot be run is passed over', async () => {
  const broken = await program('redis-server');
  await chmod(join(broken, 'redis-server'), 0o644);
  const redis = await program('redis-server');
  expect(await find([broken, redis].join(delimiter))).toBe(join(redis, 'redis-server'));
});

test('an earlier download is used again', async () => {
  const bin = join(folder, 'earlier', 'redis-server', 'usr', 'bin');
  await mkdir(bin, { recursive: true });
  await symlink(join(await program('redis-server'), 'redis-server'), join(bin, 'redis-server'));
  expect(await find('', 'earlier')).toBe(join(bin, 'redis-server'));
});

describe('when nothing works', () => {
  test('the error says what to type', async () => {
    await expect(find('', 'none')).rejects.toThrow(
      /sudo apt-get install -y redis-server.*brew install redis.*REDIS_URL=redis:\/\/host:6379 npm start/s,
    );
  });

  test('it also says why the download failed, and leaves nothing half done', async () => {
    const apt = await program('apt-get', 'echo "E: no network" >&2; exit 100');
    const dpkg = await program('dpkg');
    await expect(find([apt, dpkg].join(delimiter), 'failed')).rejects.toThrow(
      /REDIS_URL=.*What went wrong: E: no network$/s,
    );
    expect(await readdir(join(folder, 'failed'))).toEqual([]);
  });
});

describe('on a bare Debian', async () => {
  const tools = await Promise.all(['apt-get', 'dpkg'].map(locate));

  test.skipIf(tools.includes(undefined))(
    'the server is fetched without root into the cache, and runs there',
    async () => {
      const path = await mkdtemp(join(folder, 'bin-'));
      await Promise.all(tools.map((tool) => symlink(tool!, join(path, tool!.split('/').at(-1)!))));
      const server = await find(path, 'bare');
      expect(server.startsWith(join(folder, 'bare'))).toBe(true);
      const { stdout } = await run(server, ['--version'], {
        env: { LD_LIBRARY_PATH: libraryPathOf(server) },
      });
      expect(stdout).toMatch(/Redis server v=\d+/);
      expect(await readdir(join(folder, 'bare'))).toEqual(['redis-server']);
      expect(await find('', 'bare')).toBe(server);
    },
  );
});
