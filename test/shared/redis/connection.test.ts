import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { inspect } from 'node:util';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { atEndOfTurn } from '#shared/kernel/end-of-turn.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { openConnections, openRedis, storeError, untilReady } from '#shared/redis/connection.ts';
import { memoryUsedPercent, refuseUnfitRedis } from '#shared/redis/server-rules.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { until } from '../../harness/until.ts';

const settings = {
  ...settingsSchema.shape.redis.parse({}),
  command_timeout_ms: 300,
  connect_timeout_ms: 300,
  start_timeout_ms: 1_000,
};
const silent = { debug: () => undefined };

let closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.toReversed()) await close();
  closing = [];
});

function open(url: string, profile: 'commands' | 'blocking' | 'queue' = 'commands'): Redis {
  const redis = openRedis(url, settings, profile, 'test');
  redis.on('error', () => undefined);
  closing.push(() => redis.disconnect());
  return redis;
}

/** A server that speaks just enough of Redis: `answer` gets what arrived in one read. */
async function fakeRedis(
  answer: (text: string, socket: Socket) => string | undefined,
): Promise<{ url: string; server: Server; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      const reply = answer(chunk.toString(), socket);
      if (reply !== undefined) socket.write(reply);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  return { url: `redis://127.0.0.1:${port}`, server, sockets };
}

const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`;
/** One reply for each command of a read: INFO gets a server that is done loading. */
const commandsIn = (text: string) =>
  [...text.matchAll(/\*\d+\r\n\$\d+\r\n(\w+)\r\n/g)].map(([, name]) => name!.toLowerCase());
const politely = (text: string, reply: string) =>
  commandsIn(text)
    .map((name) => (name === 'info' ? bulk('loading:0\r\n') : name === 'client' ? '+OK\r\n' : reply))
    .join('');

describe('storeError', () => {
  /** As ioredis makes it: with the command that failed. */
  const reply = (message: string) =>
    Object.assign(new Error(message), {
      name: 'ReplyError',
      command: { name: 'set', args: ['k', 'canary'] },
    });
  const canaryIn = (error: Error) => inspect(error, { depth: 9, showHidden: true });

  test.each([
    "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica.",
    'LOADING Redis is loading the dataset in memory',
    'MISCONF Redis is configured to save RDB snapshots',
    'BUSY Redis is busy running a script.',
    'CLUSTERDOWN The cluster is down',
    'TRYAGAIN Multiple keys request during rehashing of slot',
    'MASTERDOWN Link with MASTER is down',
    'NOREPLICAS Not enough good replicas to write.',
    'UNBLOCKED force unblock from blocking operation',
  ])('%s passes by itself: store_unavailable', (message) => {
    const error = storeError(reply(message));
    expect(error).toMatchObject({ code: 'store_unavailable', retryAfterMs: 1_000, cause: { message } });
    expect(error.message).not.toContain(message.split(' ')[0]);
    expect(canaryIn(error)).not.toContain('canary');
  });

  test.each([
    'ERR syntax error',
    'WRONGTYPE Operation against a key',
    'NOAUTH Authentication required.',
    'NOPERM this user has no permissions',
    'CROSSSLOT Keys in request',
  ])('%s does not: it is thrown on, without the command', (message) => {
    const error = storeError(reply(message));
    expect(error).not.toBeInstanceOf(SluiceError);
    expect(error.message).toBe(message);
    expect(canaryIn(error)).not.toContain('canary');
  });

  test('arguments that Redis itself repeats are cut', () => {
    expect(storeError(reply("ERR unknown command 'X', with args beginning with: 'canary'")).message).toBe(
      "ERR unknown command 'X'",
    );
  });

  test.each([
    new Error('Command timed out'),
    new Error('Connection is closed.'),
    new Error("Stream isn't writeable and enableOfflineQueue options is false"),
    'text',
    undefined,
  ])('a connection that is gone or slow is store_unavailable: %s', (error) => {
    expect(storeError(error)).toMatchObject({ code: 'store_unavailable' });
  });

  test('an error of the catalogue stays what it is', () => {
    const error = new SluiceError('store_full');
    expect(storeError(error)).toBe(error);
  });
});

describe('a connection', () => {
  let server: RedisProcess;
  beforeEach(async () => {
    server = await RedisProcess.start();
    closing.push(() => server.stop());
  });

  test('for commands fails at once while Redis is away, and works again when it is back', async () => {
    const redis = open(server.url);
    await untilReady(redis, 5_000);
    await server.kill();
    await until('the connection is lost', () => redis.status !== 'ready');
    const error = await redis.get('a').catch((caught: Error) => caught);
    expect(storeError(error)).toMatchObject({ code: 'store_unavailable' });
    await server.start();
    await untilReady(redis, 10_000);
    expect(await redis.get('a')).toBeNull();
  });

  test('for commands gives up on a Redis that hangs, after the command time-out', async () => {
    const redis = open(server.url);
    await untilReady(redis, 5_000);
    server.signal('SIGSTOP');
    const error = await redis.set('a', 'canary').catch((caught: Error) => caught);
    server.signal('SIGCONT');
    expect(storeError(error)).toMatchObject({ code: 'store_unavailable' });
  });

  test('for the queue waits for Redis to come back', async () => {
    const redis = open(server.url, 'queue');
    await untilReady(redis, 5_000);
    await server.kill();
    const answered = redis.set('a', 'b');
    await server.start();
    expect(await answered).toBe('OK');
  });

  test('start refuses a Redis that evicts, and accepts one that does not', async () => {
    const redis = open(server.url);
    const connections = openConnections([redis], settings, silent);
    await connections.start();
    for (const policy of ['allkeys-lru', 'volatile-ttl']) {
      await redis.config('SET', 'maxmemory-policy', policy);
      await expect(connections.start()).rejects.toThrow(`maxmemory-policy ${policy}): set it to noeviction`);
    }
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
    await connections.start();
    await connections.stop();
    await until('the connection has ended', () => redis.status === 'end');
  });

  test('start refuses a Redis that does not allow functions', async () => {
    const redis = open(server.url);
    await untilReady(redis, 5_000);
    await redis.acl('SETUSER', 'default', '-function');
    await expect(refuseUnfitRedis(redis)).rejects.toThrow(/Redis Functions are not allowed here.*NOPERM/);
    await redis.acl('SETUSER', 'default', '+function');
    await refuseUnfitRedis(redis);
  });

  test('the share of memory in use is known where there is a limit', async () => {
    const redis = open(server.url);
    await untilReady(redis, 5_000);
    expect(await memoryUsedPercent(redis)).toBe(0);
    const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))![1]);
    await redis.config('SET', 'maxmemory', String(used * 2));
    expect(await memoryUsedPercent(redis)).toBeGreaterThan(40);
    expect(await memoryUsedPercent(redis)).toBeLessThan(60);
  });

  test('a command that was sent when the connection broke is not sent twice', async () => {
    const redis = open(server.url);
    await untilReady(redis, 5_000);
    server.signal('SIGSTOP');
    const lost = redis.incr('count').catch(() => 'lost');
    await server.kill();
    await lost;
    await server.start();
    await untilReady(redis, 10_000);
    expect(Number(await redis.get('count'))).toBeLessThanOrEqual(1);
  });
});

describe('start', () => {
  test('ends with store_unavailable where nobody listens', async () => {
    const redis = open('redis://127.0.0.1:1');
    await expect(openConnections([redis], settings, silent).start()).rejects.toMatchObject({
      code: 'store_unavailable',
    });
  });

  test.each([
    ['6.2.14', false],
    ['7.0.7', false],
    ['7.0.8', true],
    ['7.2.4', true],
    ['8.0.0', true],
  ])('version %s is accepted: %s', async (version, accepted) => {
    const { url } = await fakeRedis((text) => {
      const info = `redis_version:${version}\r\nloading:0\r\nmaxmemory_policy:noeviction\r\n`;
      return commandsIn(text)
        .map((name) => (name === 'info' ? bulk(info) : '+OK\r\n'))
        .join('');
    });
    const redis = open(url);
    await untilReady(redis, 5_000);
    if (accepted) await refuseUnfitRedis(redis);
    else await expect(refuseUnfitRedis(redis)).rejects.toThrow(`Redis ${version} is too old`);
  });
});

test.each(['commands', 'queue'] as const)(
  'all commands of a turn of the event loop leave in one write (%s)',
  async (profile) => {
    const reads: string[] = [];
    const { url } = await fakeRedis((text) => {
      reads.push(text);
      return politely(text, '+OK\r\n');
    });
    const redis = open(url, profile);
    await untilReady(redis, 5_000);
    const { stream } = redis as unknown as { stream: Socket };
    let writes = 0;
    for (const method of ['_write', '_writev'] as const) {
      const write = (stream as unknown as Record<string, (...args: unknown[]) => void>)[method]!.bind(stream);
      const counted = (...args: unknown[]) => {
        writes++;
        write(...args);
      };
      Object.assign(stream, { [method]: counted });
    }
    const ofOneTurn = Array.from({ length: 50 }, async (_, index) => {
      await new Promise<void>(atEndOfTurn);
      await redis.set(`k${index}`, 'v');
    });
    await Promise.all(ofOneTurn);
    expect(writes).toBe(1);
    await redis.set('later', 'v');
    expect(writes).toBe(2);
    expect(commandsIn(reads.join('')).filter((name) => name === 'set')).toHaveLength(51);
  },
);
