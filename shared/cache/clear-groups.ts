import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

/** Groups looked at in one step. */
const step = 500;

/** Forgets the groups of a namespace, or all of the tenant; `placesOf`: the keys of one. */
export async function clearGroups(
  redis: RedisConnection,
  tenant: string,
  namespace: string | undefined,
  placesOf: (group: string) => string[],
): Promise<void> {
  const groups = keys.cacheGroups(tenant);
  const match = namespace === undefined ? '*' : `${namespace}:*`;
  let cursor = '0';
  try {
    do {
      const [next, found] = await redis.sscan(groups, cursor, 'MATCH', match, 'COUNT', step);
      cursor = next;
      if (found.length > 0) await redis.unlink(...found.flatMap(placesOf));
      if (found.length > 0) await redis.srem(groups, ...found);
    } while (cursor !== '0');
  } catch (error) {
    throw storeError(error);
  }
}
