import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { isProvenDead, ownPresence, presenceOf } from '#shared/kernel/process-presence.ts';
import { EmbeddedServer } from '#shared/redis/embedded-server.ts';
import { until } from '../../harness/until.ts';

let folder: string;
let servers: EmbeddedServer[];
let owners: ChildProcess[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-embedded-'));
  servers = [];
  owners = [];
});
afterEach(async () => {
  for (const owner of owners) await end(owner, 'SIGTERM');
  for (const server of servers) await server.stop();
  await rm(folder, { recursive: true, force: true });
});

function embedded(
  over: { dataDir?: string; server?: string; onExit?: (detail: string) => void } = {},
): EmbeddedServer {
  const server = new EmbeddedServer({
    server: over.server ?? inject('redisServer'),
    dataDir: over.dataDir ?? join(folder, 'data'),
    clock: systemClock,
    startTimeoutMs: 20_000,
    onUnexpectedExit: over.onExit ?? (() => undefined),
  });
  servers.push(server);
  return server;
}

async function ask<T>(server: EmbeddedServer, task: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({ path: server.url, lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => undefined);
  await redis.connect();
  try {
    return await task(redis);
  } finally {
    redis.disconnect();
  }
}

const pidOf = (server: EmbeddedServer) =>
  ask(server, async (redis) => Number(/process_id:(\d+)/.exec(await redis.info('server'))![1]));

/** Says later whether the process that runs now has ended (also when nobody has waited for it). */
async function watch(server: EmbeddedServer): Promise<() => boolean> {
  const presence = presenceOf(await pidOf(server));
  return () => isProvenDead(presence, ownPresence());
}

const ownerEntry = fileURLToPath(new URL('./embedded-owner.ts', import.meta.url));

/** Another process that owns the folder; `line` is the first it says. */
async function startOwner(dataDir = join(folder, 'data')): Promise<{ owner: ChildProcess; line: string }> {
  const owner = spawn(process.execPath, [ownerEntry, inject('redisServer'), dataDir], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  owners.push(owner);
  const [line] = (await once(createInterface({ input: owner.stdout! }), 'line')) as [string];
  return { owner, line };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

test('what was written is there after a restart, and a stop leaves no process and no owner', async () => {
  const first = embedded();
  await first.start();
  await ask(first, (redis) => redis.set('kept', 'yes'));
  const hasEnded = await watch(first);
  await first.stop();
  expect(hasEnded()).toBe(true);
  await expect(readFile(join(folder, 'data', 'owner.json'))).rejects.toThrow(/ENOENT/);

  const second = embedded();
  await second.start();
  expect(await ask(second, (redis) => redis.get('kept'))).toBe('yes');
  await second.stop();
  await second.stop();
});

test('it never evicts, keeps an append-only file, and listens on no port', async () => {
  const server = embedded();
  await server.start();
  const config = async (name: string) =>
    ask(server, async (redis) => ((await redis.config('GET', name)) as string[])[1]);
  expect(await config('maxmemory-policy')).toBe('noeviction');
  expect(await config('appendonly')).toBe('yes');
  expect(await config('appendfsync')).toBe('everysec');
  expect(await config('port')).toBe('0');
  expect(await config('save')).toBe('');
});

test('a server whose owner was killed is adopted with its data, and stopped by the new owner', async () => {
  const { owner, line } = await startOwner();
  expect(line).toBe('up');
  await end(owner, 'SIGKILL');
  const heir = embedded();
  await heir.start();
  const hasEnded = await watch(heir);
  await heir.stop();
  expect(hasEnded()).toBe(true);
});

test('the adopted server is the one that ran before: what it held was never away', async () => {
  const { owner } = await startOwner();
  const url = join(folder, 'data', 'redis.sock');
  const before = new Redis({ path: url });
  await before.client('SETNAME', 'witness');
  const run = /run_id:(\w+)/.exec(await before.info('server'))![1];
  await end(owner, 'SIGKILL');
  const heir = embedded();
  await heir.start();
  expect(/run_id:(\w+)/.exec(await before.info('server'))![1]).toBe(run);
  before.disconnect();
});

test('an orphan that is still loading is waited for, not doubled', async () => {
  const { owner } = await startOwner();
  const loader = new Redis({ path: join(folder, 'data', 'redis.sock') });
  const pid = Number(/process_id:(\d+)/.exec(await loader.info('server'))![1]);
  loader.disconnect();
  process.kill(pid, 'SIGSTOP');
  await end(owner, 'SIGKILL');
  const heir = embedded();
  const started = heir.start();
  await until('the heir has taken the folder', async () =>
    (await readFile(join(folder, 'data', 'owner.json'), 'utf8').catch(() => '')).includes(
      `"pid":${process.pid}`,
    ),
  );
  process.kill(pid, 'SIGCONT');
  await started;
  expect(await pidOf(heir)).toBe(pid);
});

test('a second owner is refused while the first lives, with a message that says what to do, and harms nothing', async () => {
  const { owner } = await startOwner();
  const second = embedded();
  await expect(second.start()).rejects.toThrow(
    `Another Sluice (process ${owner.pid}) uses ${join(folder, 'data')}. Set SLUICE_DATA_DIR to another folder.`,
  );
  await second.stop();
  const third = await startOwner();
  expect(third.line).toContain('Another Sluice');
  await ask(second, (redis) => redis.ping());
});

test('of two that start at the same moment one runs and one is refused', async () => {
  const lines = (await Promise.all([startOwner(), startOwner()])).map(({ line }) => line);
  expect(lines.toSorted()).toEqual([expect.stringContaining('Another Sluice'), 'up']);
});

test.each([
  [
    'a process id that now belongs to somebody else',
    JSON.stringify({
      app: { host: 'h', pid: process.ppid, startTicks: '1' },
      redis: { host: 'h', pid: process.ppid, startTicks: '1' },
    }),
  ],
  ['half a file', '{"app":{"ho'],
  ['an empty file', ''],
])('an owner file that a crash left does not stop the start: %s', async (_name, text) => {
  const first = embedded();
  await first.start();
  await first.stop();
  await writeFile(join(folder, 'data', 'owner.json'), text);
  const second = embedded();
  await second.start();
  expect(await ask(second, (redis) => redis.ping())).toBe('PONG');
});

test.each([
  ['long', 'x'.repeat(120)],
  ['with spaces', 'a folder with "quotes" and spaces'],
  ['with letters of several bytes', 'é'.repeat(50)],
])('a data folder with a name that is %s', async (_kind, name) => {
  const server = embedded({ dataDir: join(folder, name) });
  expect(Buffer.byteLength(server.url)).toBeLessThanOrEqual(100);
  await server.start();
  await ask(server, (redis) => redis.set('a', 'b'));
  expect(await readFile(join(folder, name, 'appendonlydir', 'appendonly.aof.manifest'), 'utf8')).toContain(
    'incr',
  );
});

test('only the owner of the account reaches the socket', async () => {
  const server = embedded();
  await server.start();
  expect(((await stat(server.url)).mode & 0o777).toString(8)).toBe('700');
  expect(((await stat(join(folder, 'data'))).mode & 0o777).toString(8)).toBe('700');
});

test('a server that cannot start says why, and nobody is told that it ended', async () => {
  const script = join(folder, 'redis-server');
  await writeFile(script, '#!/bin/sh\necho "no such module" >&2; exit 3\n');
  await chmod(script, 0o755);
  const exits: string[] = [];
  const broken = embedded({ server: script, onExit: (detail) => exits.push(detail) });
  await expect(broken.start()).rejects.toThrow('did not start: no such module');
  await expect(
    embedded({ server: join(folder, 'none'), dataDir: join(folder, 'b') }).start(),
  ).rejects.toThrow(/did not start: .*ENOENT/);
  expect(exits).toEqual([]);
});

test('a server that ends by itself is reported, one that is stopped is not', async () => {
  const exits: string[] = [];
  const server = embedded({ onExit: (detail) => exits.push(detail) });
  await server.start();
  process.kill(await pidOf(server), 'SIGKILL');
  await until('the end is reported', () => exits.length > 0);
  expect(exits[0]).toContain('SIGKILL');
  await server.stop();
  const again = embedded({ onExit: (detail) => exits.push(detail) });
  await again.start();
  await again.stop();
  expect(exits).toHaveLength(1);
});

test('a stop during the start leaves no process', async () => {
  const server = embedded();
  const started = server.start();
  started.catch(() => undefined);
  await server.stop();
  await started.catch(() => undefined);
  await server.stop();
  await expect(ask(server, (redis) => redis.ping())).rejects.toThrow();
});
