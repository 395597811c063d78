import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { libraryPathOf } from './find-server.ts';

export interface EmbeddedServerOptions {
  /** Path of redis-server or valkey-server. */
  server: string;
  /** Folder of the append-only file; made when missing. */
  dataDir: string;
  clock: Clock;
  startTimeoutMs: number;
  /** Called when the server ends without having been asked to. */
  onUnexpectedExit: (detail: string) => void;
}

const pollMs = 20;
const longestSocketPath = 100;
const stopTimeoutMs = 20_000;

/** A path for the Unix socket: in the data folder, or in the temporary folder where that would be too long. */
function socketPathFor(dataDir: string): string {
  const path = join(dataDir, 'redis.sock');
  if (path.length <= longestSocketPath) return path;
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  return join(tmpdir(), `sluice-${hash}.sock`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Whether a Redis that is done loading answers on the socket. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(socketPath);
    const finish = (answer: boolean) => {
      socket.destroy();
      done(answer);
    };
    socket.setTimeout(1_000, () => finish(false));
    socket.on('error', () => finish(false));
    socket.on('connect', () => socket.write('PING\r\n'));
    socket.on('data', (reply) => finish(reply.toString().startsWith('+PONG')));
  });
}

/**
 * A redis-server child with an append-only file (fsync every second), reachable only through a Unix socket.
 *
 * absent → starting → running → stopped. The child runs in its own process group, so that Ctrl-C reaches Sluice
 * first and Redis ends last. A server left behind by a killed process is adopted by the next start.
 */
export class EmbeddedServer implements Service {
  readonly name = 'embedded redis';
  /** Path of the Unix socket. */
  readonly url: string;
  readonly #options: EmbeddedServerOptions;
  readonly #dataDir: string;
  #pid: number | undefined;
  #stopping = false;

  constructor(options: EmbeddedServerOptions) {
    this.#options = options;
    this.#dataDir = resolve(options.dataDir);
    this.url = socketPathFor(this.#dataDir);
  }

  async start(): Promise<void> {
    await mkdir(this.#dataDir, { recursive: true, mode: 0o700 });
    const owner = await this.#readOwner();
    if (owner && owner.app !== process.pid && isAlive(owner.app) && isAlive(owner.redis)) {
      throw new Error(
        `Another Sluice (process ${owner.app}) uses ${this.#dataDir}. Set SLUICE_DATA_DIR to another folder.`,
      );
    }
    if (owner && isAlive(owner.redis) && (await answers(this.url))) this.#pid = owner.redis;
    else await this.#spawn();
    await writeFile(this.#ownerFile, JSON.stringify({ app: process.pid, redis: this.#pid }));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const pid = this.#pid;
    if (pid === undefined || !isAlive(pid)) return;
    process.kill(pid, 'SIGTERM');
    for (let waitedMs = 0; isAlive(pid) && waitedMs < stopTimeoutMs; waitedMs += pollMs) {
      await this.#options.clock.sleep(pollMs);
    }
    await rm(this.#ownerFile, { force: true });
  }

  get #ownerFile(): string {
    return join(this.#dataDir, 'owner.json');
  }

  async #readOwner(): Promise<{ app: number; redis: number } | undefined> {
    const text = await readFile(this.#ownerFile, 'utf8').catch(() => undefined);
    return text === undefined ? undefined : JSON.parse(text);
  }

  async #spawn(): Promise<void> {
    await rm(this.url, { force: true });
    const libraryPath = libraryPathOf(this.#options.server);
    const child = spawn(this.#options.server, this.#arguments(), {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: libraryPath ? { LD_LIBRARY_PATH: libraryPath } : {},
    });
    let output = '';
    const keepOutput = (chunk: Buffer) => {
      output = `${output}${chunk}`.slice(-2_000);
    };
    child.stdout.on('data', keepOutput);
    child.stderr.on('data', keepOutput);
    let exited = false;
    child.on('error', (error) => keepOutput(Buffer.from(String(error))));
    child.on('exit', (code, signal) => {
      exited = true;
      if (!this.#stopping) this.#options.onUnexpectedExit(`code ${code}, signal ${signal}: ${output.trim()}`);
    });
    this.#pid = child.pid;
    for (let waitedMs = 0; waitedMs < this.#options.startTimeoutMs; waitedMs += pollMs) {
      if (exited || child.pid === undefined) break;
      if (await answers(this.url)) return;
      await this.#options.clock.sleep(pollMs);
    }
    throw new Error(`The embedded Redis did not start: ${output.trim()}`);
  }

  #arguments(): string[] {
    return [
      '--port',
      '0',
      '--unixsocket',
      this.url,
      '--unixsocketperm',
      '700',
      '--dir',
      this.#dataDir,
      '--appendonly',
      'yes',
      '--appendfsync',
      'everysec',
      '--save',
      '',
      '--maxmemory-policy',
      'noeviction',
      '--hash-max-listpack-value',
      '2048',
      '--daemonize',
      'no',
    ];
  }
}
