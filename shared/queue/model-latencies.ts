import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

/** After a day without an answer of any model none of what was seen is worth knowing. */
const keptMs = 86_400_000;

/** How long models took of late, by `provider/model`, milliseconds; of several workers the last one counts. */
export async function readLatencies(redis: RedisConnection): Promise<ReadonlyMap<string, number>> {
  try {
    const rows = Object.entries(await redis.hgetall(keys.latencies()));
    return new Map(rows.map(([model, ms]) => [model, Number(ms)]));
  } catch (error) {
    throw storeError(error);
  }
}

export async function writeLatencies(
  redis: RedisConnection,
  latencies: ReadonlyMap<string, number>,
): Promise<void> {
  const rows = [...latencies].flatMap(([model, ms]) => [model, ms.toFixed(1)]);
  try {
    await redis.hset(keys.latencies(), ...rows);
    await redis.pexpire(keys.latencies(), keptMs);
  } catch (error) {
    throw storeError(error);
  }
}
