import type { Settings } from '#config/schema.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import type { ProcessPresence } from '#shared/kernel/process-presence.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

/** The register of workers: who is there, and which pools their configurations name. Times are Redis'. */
export interface RegisterParts {
  workerId: string;
  presence: ProcessPresence;
  redis: RedisConnection;
  live: Live<Settings>;
}

/** Entries that leave the register at once. */
const forgottenAtOnce = 100;

export async function redisNowMs(redis: RedisConnection): Promise<number> {
  const [seconds = 0, microseconds = 0] = await redis.time();
  return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
}

/** Every pool of the configuration, also those whose provider has no credential at present. */
export function configuredPools({ providers }: Settings): string[] {
  return Object.entries(providers).flatMap(([provider, { pools }]) =>
    Object.keys(pools).map((pool) => `${provider}/${pool}`),
  );
}

/** Says that this worker and its pools are there, and forgets workers of which nothing was heard for `forget_ms`. */
export async function keepRegistered({ redis, workerId, presence, live }: RegisterParts): Promise<void> {
  const nowMs = await redisNowMs(redis);
  await redis.zadd(keys.workersSeen(), nowMs, workerId);
  await redis.hsetnx(keys.workers(), workerId, JSON.stringify(presence));
  const pools = configuredPools(live.current).flatMap((pool) => [nowMs, pool]);
  if (pools.length > 0) await redis.zadd(keys.poolsSeen(), ...pools);
  const oldestMs = nowMs - live.current.workers.forget_ms;
  const lost = await redis.zrangebyscore(keys.workersSeen(), 0, oldestMs, 'LIMIT', 0, forgottenAtOnce);
  if (lost.length > 0) await strike(redis, ...lost);
}

/** Takes workers out of the register. */
export async function strike(redis: RedisConnection, ...workerIds: string[]): Promise<void> {
  await redis.hdel(keys.workers(), ...workerIds);
  await redis.zrem(keys.workersSeen(), ...workerIds);
}
