import type { Redis } from 'ioredis';

/** Everything a key of Redis holds, as text. */
async function textOf(connection: Redis, key: string): Promise<string> {
  const readers: Record<string, () => Promise<unknown>> = {
    string: () => connection.get(key),
    hash: () => connection.hgetall(key),
    list: () => connection.lrange(key, 0, -1),
    set: () => connection.smembers(key),
    zset: () => connection.zrange(key, 0, '-1', 'WITHSCORES'),
    stream: () => connection.xrange(key, '-', '+'),
  };
  // A key may expire before it is read.
  return JSON.stringify((await readers[await connection.type(key)]?.()) ?? null);
}

/** All keys of a Redis, with what they hold. */
export async function dumpRedis(connection: Redis): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const batch of connection.scanStream({ count: 1_000 }))
    for (const key of batch as string[]) found.set(key, await textOf(connection, key));
  return found;
}
