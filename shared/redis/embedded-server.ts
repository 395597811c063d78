import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { processPresenceSchema } from '#shared/contracts/process-presence.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import {
  isPresent,
  isProvenDead,
  isRunning,
  ownPresence,
  type ProcessPresence,
  presenceOf,
} from '#shared/kernel/process-presence.ts';
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
const longestSocketPathBytes = 100;
const stopTimeoutMs = 20_000;

/** A path for the Unix socket: in the data folder, or in the temporary folder where that would be too long. */
export function socketPathFor(dataDir: string): string {
  const folder = resolve(dataDir);
  const path = join(folder, 'redis.sock');
  if (Buffer.byteLength(path) <= longestSocketPathBytes) return path;
  const hash = createHash('sha256').update(folder).digest('hex').slice(0, 16);
  return join(tmpdir(), `sluice-${hash}.sock`);
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

/** What `owner.json` in the data folder says: which Sluice uses the folder, and which server it runs there. */
const ownerSchema = z.object({ app: processPresenceSchema, redis: processPresenceSchema.optional() });
type Owner = z.infer<typeof ownerSchema>;

/** Who took a data folder last without giving it back, and whether that process still runs; undefined when it is free. */
export async function folderOwner(dataDir: string): Promise<{ pid: number; runs: boolean } | undefined> {
  const { owner } = await readOwner(ownerFileIn(resolve(dataDir)));
  return owner && { pid: owner.app.pid, runs: isRunning(owner.app, ownPresence()) };
}

const ownerFileIn = (dataDir: string) => join(dataDir, 'owner.json');

/** The owner file; a text without an owner is what a crash left of it. */
async function readOwner(file: string): Promise<{ text: string | undefined; owner: Owner | undefined }> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  try {
    return { text, owner: text === undefined ? undefined : ownerSchema.parse(JSON.parse(text)) };
  } catch {
    return { text, owner: undefined };
  }
}

/**
 * A redis-server child with an append-only file (fsync every second), reachable only through a Unix socket.
 *
 * absent → starting → running → stopped. The child runs in its own process group, so that Ctrl-C reaches Sluice
 * first and Redis ends last. A server left behind by a killed process is adopted by the next start; two servers never
 * write the same file.
 */
export class EmbeddedServer implements Service {
  readonly name = 'embedded redis';
  /** Path of the Unix socket. */
  readonly url: string;
  readonly #options: EmbeddedServerOptions;
  readonly #dataDir: string;
  readonly #self = ownPresence();
  #server: ProcessPresence | undefined;
  #ownsFolder = false;
  #isUp = false;
  #stopping = false;
  #output = '';

  constructor(options: EmbeddedServerOptions) {
    this.#options = options;
    this.#dataDir = resolve(options.dataDir);
    this.url = socketPathFor(this.#dataDir);
  }

  async start(): Promise<void> {
    await mkdir(this.#dataDir, { recursive: true, mode: 0o700 });
    const left = await this.#takeFolder();
    if (left && isRunning(left, this.#self)) this.#server = left;
    else await this.#spawn();
    await this.#untilAnswers();
    this.#isUp = true;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (!this.#ownsFolder) return;
    const server = this.#server;
    if (server && isRunning(server, this.#self)) {
      process.kill(server.pid, 'SIGTERM');
      for (let waitedMs = 0; isRunning(server, this.#self); waitedMs += pollMs) {
        if (waitedMs >= stopTimeoutMs) throw new Error(`the Redis process ${server.pid} is still running`);
        await this.#options.clock.sleep(pollMs);
      }
    }
    await rm(this.#ownerFile, { force: true });
  }

  get #ownerFile(): string {
    return ownerFileIn(this.#dataDir);
  }

  /**
   * Makes this process the owner of the folder; returns the server that a former owner ran there.
   *
   * @throws Error when another process uses it
   */
  async #takeFolder(): Promise<ProcessPresence | undefined> {
    const { text, owner } = await readOwner(this.#ownerFile);
    if (owner && (await this.#isInUse(owner.app))) throw this.#usedBy(owner.app.pid);
    if (text !== undefined) await rm(this.#ownerFile, { force: true });
    const taken: Owner = { app: this.#self, redis: owner?.redis };
    // Of two that start at the same moment, one fails here.
    await writeFile(this.#ownerFile, JSON.stringify(taken), { flag: 'wx' }).catch(
      (cause: NodeJS.ErrnoException) => {
        throw cause.code === 'EEXIST' ? this.#usedBy(undefined) : cause;
      },
    );
    this.#ownsFolder = true;
    return owner?.redis;
  }

  #usedBy(pid: number | undefined): Error {
    const who = pid === undefined ? 'Another Sluice' : `Another Sluice (process ${pid})`;
    return new Error(`${who} uses ${this.#dataDir}. Set SLUICE_DATA_DIR to another folder.`);
  }

  async #isInUse(app: ProcessPresence): Promise<boolean> {
    const self = this.#self;
    if (app.host === self.host && app.pid === self.pid && app.startTicks === self.startTicks) return false;
    if (self.host !== '' && app.host === self.host) return !isProvenDead(app, self);
    // A process of another container, or one on a system that tells no more than a process id.
    return (self.host !== '' || isPresent(app.pid)) && (await answers(this.url));
  }

  async #spawn(): Promise<void> {
    await rm(this.url, { force: true });
    if (this.#stopping) throw new Error('stopped before it was started');
    const libraryPath = libraryPathOf(this.#options.server);
    const child = spawn(this.#options.server, this.#arguments(), {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: libraryPath ? { LD_LIBRARY_PATH: libraryPath } : {},
    });
    const keepOutput = (chunk: Buffer | Error) => {
      this.#output = `${this.#output}${String(chunk)}`.slice(-2_000);
    };
    child.stdout.on('data', keepOutput);
    child.stderr.on('data', keepOutput);
    child.on('error', keepOutput);
    child.on('exit', (code, signal) => {
      const detail = `code ${code}, signal ${signal}: ${this.#output.trim()}`;
      if (this.#isUp && !this.#stopping) this.#options.onUnexpectedExit(detail);
    });
    if (child.pid === undefined) return;
    this.#server = presenceOf(child.pid);
    const owner: Owner = { app: this.#self, redis: this.#server };
    await writeFile(this.#ownerFile, JSON.stringify(owner));
  }

  async #untilAnswers(): Promise<void> {
    const { clock, startTimeoutMs } = this.#options;
    for (let waitedMs = 0; waitedMs < startTimeoutMs; waitedMs += pollMs) {
      if (await answers(this.url)) return;
      await clock.sleep(pollMs);
      if (!this.#server || !isRunning(this.#server, this.#self)) break;
    }
    throw new Error(
      `The embedded Redis${this.#server ? ` (process ${this.#server.pid})` : ''} did not start: ${this.#output.trim()}`,
    );
  }

  #arguments(): string[] {
    const settings = {
      port: '0',
      unixsocket: this.url,
      unixsocketperm: '700',
      dir: this.#dataDir,
      appendonly: 'yes',
      appendfsync: 'everysec',
      save: '',
      'maxmemory-policy': 'noeviction',
      'hash-max-listpack-value': '2048',
      daemonize: 'no',
    };
    return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  }
}
