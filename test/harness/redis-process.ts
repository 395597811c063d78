import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { inject } from 'vitest';
import { libraryPathOf } from '#shared/redis/find-server.ts';
import { freePort } from '../../loadtest/cluster/free-port.ts';
import { until } from './until.ts';

/**
 * A real redis-server of the test's own, with an append-only file, that can be killed and started again. What it has
 * acknowledged is written to the file and outlives it. With `everysec` a slow disk makes Redis put a write off by up to
 * two seconds, and it would be the disk that decides whether a test passes.
 */
export class RedisProcess {
  readonly port: number;
  readonly url: string;
  /** Folder that lives as long as the server; tests may keep their data in it. */
  readonly dir: string;
  #child: ChildProcess | undefined;
  readonly #connections: Redis[] = [];

  private constructor(port: number, dir: string) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.dir = dir;
  }

  static async start(): Promise<RedisProcess> {
    const redis = new RedisProcess(await freePort(), await mkdtemp(join(tmpdir(), 'sluice-test-')));
    await redis.start();
    return redis;
  }

  async start(...extra: string[]): Promise<void> {
    const server = inject('redisServer');
    const libraryPath = libraryPathOf(server);
    this.#child = spawn(
      server,
      [
        '--port',
        String(this.port),
        '--bind',
        '127.0.0.1',
        '--dir',
        this.dir,
        '--appendonly',
        'yes',
        '--appendfsync',
        'no',
        '--save',
        '',
        '--maxmemory-policy',
        'noeviction',
        '--enable-debug-command',
        'local',
        ...extra,
      ],
      { stdio: 'ignore', env: libraryPath ? { LD_LIBRARY_PATH: libraryPath } : {} },
    );
    await until('redis answers', () => this.#answers());
  }

  #answers(): Promise<boolean> {
    return new Promise((done) => {
      const socket = connect(this.port, '127.0.0.1');
      const finish = (answer: boolean) => {
        socket.destroy();
        done(answer);
      };
      socket.on('error', () => finish(false));
      socket.on('connect', () => socket.write('PING\r\n'));
      socket.on('data', (reply) => finish(reply.toString().startsWith('+PONG')));
    });
  }

  /** A plain connection for the test's own commands; it ends with the server. */
  connect(): Redis {
    const connection = new Redis(this.url, { maxRetriesPerRequest: null });
    this.#connections.push(connection);
    return connection;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** kill -9, and waits for the end. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections) connection.disconnect();
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}
