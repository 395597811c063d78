import { fileURLToPath } from 'node:url';
import { executablePath } from '#config/load.ts';
import { findServer, libraryPathOf } from '#shared/redis/find-server.ts';
import { type Child, type Children, endChild } from './children.ts';
import { freePort } from './free-port.ts';

const cacheDir = fileURLToPath(new URL('../../data/cache', import.meta.url));
const stopPatienceMs = 20_000;

/** A redis-server of the run's own, with an append-only file, that can be restarted on the same port. */
export class RedisServer {
  readonly url: string;
  readonly #children: Children;
  readonly #server: string;
  readonly #port: number;
  readonly #dir: string;
  #child: Child | undefined;

  private constructor(children: Children, found: { server: string; port: number; dir: string }) {
    this.#children = children;
    this.#server = found.server;
    this.#port = found.port;
    this.#dir = found.dir;
    this.url = `redis://127.0.0.1:${found.port}`;
  }

  static async start(children: Children): Promise<RedisServer> {
    const say = (line: string) => console.error(line);
    const server = await findServer({ path: executablePath(), cacheDir, say });
    const found = { server, port: await freePort(), dir: await children.folder() };
    const redis = new RedisServer(children, found);
    await redis.#spawn();
    return redis;
  }

  get pid(): number {
    return this.#child!.pid;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.#spawn();
  }

  /** kill -9, and a new start on what its file holds. */
  async crash(): Promise<void> {
    this.#child?.signal('SIGKILL');
    await this.#child?.ended;
    await this.#spawn();
  }

  async stop(): Promise<void> {
    if (this.#child) await endChild(this.#child, stopPatienceMs);
  }

  async #spawn(): Promise<void> {
    const libraryPath = libraryPathOf(this.#server);
    const network = ['--port', String(this.#port), '--bind', '127.0.0.1'];
    const storage = ['--dir', this.#dir, '--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''];
    this.#child = await this.#children.start({
      name: 'redis-server',
      command: this.#server,
      args: [...network, ...storage, '--maxmemory-policy', 'noeviction'],
      env: libraryPath ? { LD_LIBRARY_PATH: libraryPath } : {},
      ready: /Ready to accept connections/,
    });
  }
}
