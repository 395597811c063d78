import { Redis, type RedisOptions } from 'ioredis';
import type { Settings } from '#config/schema.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { corkWrites } from './cork.ts';
import { refuseUnfitRedis } from './server-rules.ts';

export type RedisConnection = Redis;

/**
 * How a connection behaves when Redis does not answer.
 * `commands`: fails at once while disconnected and after the command timeout otherwise; never sends a command twice.
 * `blocking`: for commands that wait inside Redis; waits for Redis to come back, however long it takes.
 * `queue`: for BullMQ's worker side: like `blocking`, and corked like `commands`.
 */
export type ConnectionProfile = 'commands' | 'blocking' | 'queue';

const reconnectFirstMs = 20;
const reconnectMaxMs = 1_000;

function profileOptions(profile: ConnectionProfile, redis: Settings['redis']): RedisOptions {
  if (profile !== 'commands') return { maxRetriesPerRequest: null, enableReadyCheck: true };
  return {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: redis.command_timeout_ms,
    enableReadyCheck: true,
  };
}

/**
 * Opens a connection; it reconnects by itself for as long as it lives. `url` is a redis:// URL or the path of a
 * socket. Wait for `untilReady` before using a `commands` connection.
 */
export function openRedis(
  url: string,
  redis: Settings['redis'],
  profile: ConnectionProfile,
  name: string,
): Redis {
  const options: RedisOptions = {
    ...profileOptions(profile, redis),
    connectionName: name,
    connectTimeout: redis.connect_timeout_ms,
    keepAlive: 10_000,
    retryStrategy: (times) => Math.min(reconnectFirstMs * 2 ** Math.min(times, 10), reconnectMaxMs),
    // After a failover the old primary answers READONLY: connect anew, and do not send the command again.
    reconnectOnError: (error) => (/^(READONLY|LOADING)/.test(error.message) ? 1 : false),
  };
  const connection = url.startsWith('redis') ? new Redis(url, options) : new Redis({ ...options, path: url });
  if (profile !== 'blocking') corkWrites(connection);
  return connection;
}

/** The connections of a process: start waits for all and refuses a Redis that would lose jobs. */
export function openConnections(
  connections: readonly Redis[],
  redis: Settings['redis'],
  log: { debug: (detail: object, message: string) => void },
): Service {
  for (const connection of connections) {
    connection.on('error', (error) => log.debug({ reason: error.message }, 'redis connection'));
  }
  return {
    name: 'redis connections',
    async start() {
      await Promise.all(connections.map((connection) => untilReady(connection, redis.start_timeout_ms)));
      await refuseUnfitRedis(connections[0]!);
    },
    async stop() {
      for (const connection of connections) connection.disconnect();
    },
  };
}

/** Resolves when the connection is ready. @throws SluiceError store_unavailable after `timeoutMs`. */
export function untilReady(connection: Redis, timeoutMs: number): Promise<void> {
  if (connection.status === 'ready') return Promise.resolve();
  return new Promise((resolve, reject) => {
    const deadline = AbortSignal.timeout(timeoutMs);
    const onReady = () => {
      deadline.removeEventListener('abort', onTimeout);
      resolve();
    };
    const onTimeout = () => {
      connection.off('ready', onReady);
      reject(new SluiceError('store_unavailable', { cause: new Error(`no Redis within ${timeoutMs} ms`) }));
    };
    connection.once('ready', onReady);
    deadline.addEventListener('abort', onTimeout, { once: true });
  });
}

const storeRetryAfterMs = 1_000;
const causeMaxLength = 500;
/** Errors that come back however often one asks: a mistake of ours or of the configuration. */
const lastingError = /^(ERR|WRONGTYPE|NOSCRIPT|WRONGPASS|NOPERM|NOAUTH|CROSSSLOT|EXECABORT)/;
/** Redis repeats the arguments of a command it does not know. */
const quotedArguments = /,? with args beginning with:.*$/s;

/**
 * What an error of a Redis call means to a caller: `store_unavailable` for everything that passes by itself
 * (connection, time-out, READONLY, OOM, LOADING, MISCONF, BUSY …). The command is dropped from the error: its
 * arguments hold prompts.
 */
export function storeError(error: unknown): Error {
  if (error instanceof SluiceError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const cause = new Error(message.replace(quotedArguments, '').slice(0, causeMaxLength));
  if (error instanceof Error && error.name === 'ReplyError' && lastingError.test(message)) return cause;
  return new SluiceError('store_unavailable', { cause, retryAfterMs: storeRetryAfterMs });
}
