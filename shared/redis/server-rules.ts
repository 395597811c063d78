import type { Redis } from 'ioredis';

const oldestVersion = [7, 0, 8] as const;

/** A Redis that Sluice cannot work with; the message says what to change. */
export class UnfitRedisError extends Error {
  override readonly name = 'UnfitRedisError';
}

function isOlder(version: string): boolean {
  const parts = version.split('.').map(Number);
  for (const [index, least] of oldestVersion.entries()) {
    const part = parts[index] ?? 0;
    if (part !== least) return part < least;
  }
  return false;
}

function infoField(info: string, field: string): string | undefined {
  return new RegExp(`^${field}:(.*?)\r?$`, 'm').exec(info)?.[1];
}

/**
 * Refuses a Redis that would lose jobs or lacks commands: version below 7.0.8 (or Valkey below 7.2, which reports a
 * compatible redis_version), no functions, or an eviction policy other than noeviction.
 */
export async function refuseUnfitRedis(redis: Redis): Promise<void> {
  const info = await redis.info();
  const version = infoField(info, 'redis_version') ?? '0';
  if (isOlder(version)) {
    throw new UnfitRedisError(
      `Redis ${version} is too old: Sluice needs ${oldestVersion.join('.')} or newer.`,
    );
  }
  await redis.function('LIST', 'LIBRARYNAME', 'sluice').catch((error: Error) => {
    // A Redis that does not answer in time has not said so.
    if (error.name !== 'ReplyError') throw error;
    throw new UnfitRedisError(
      `Redis Functions are not allowed here, and Sluice is made of them: ${error.message}`,
    );
  });
  const policy = infoField(info, 'maxmemory_policy');
  if (policy !== 'noeviction') {
    throw new UnfitRedisError(
      `Redis evicts keys (maxmemory-policy ${policy}): set it to noeviction, or accepted jobs vanish.`,
    );
  }
}

/** Share of maxmemory in use, 0 to 100; 0 where Redis has no limit. */
export async function memoryUsedPercent(redis: Redis): Promise<number> {
  const info = await redis.info('memory');
  const limit = Number(infoField(info, 'maxmemory') ?? 0);
  return limit > 0 ? (Number(infoField(info, 'used_memory') ?? 0) / limit) * 100 : 0;
}
