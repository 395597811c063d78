import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { openRedis, type RedisConnection, untilReady } from './connection.ts';
import { memoryUsedPercent, refuseUnfitRedis, UnfitRedisError } from './server-rules.ts';

export interface ServerFacts {
  version: string;
  /** Why Sluice does not work with it. */
  unfit: string | undefined;
  /** Whether what is written survives a crash of Redis. */
  appendOnly: boolean;
  memoryUsedPercent: number;
  /** Median time of one command. */
  latencyMs: number;
  /** Redis' clock minus ours. */
  clockOffsetMs: number;
}

const samples = 15;

/** Looks at a Redis without changing anything. @throws SluiceError store_unavailable when none answers within `patienceMs` */
export async function inspectServer(
  url: string,
  settings: Settings['redis'],
  clock: Clock,
  patienceMs: number,
): Promise<ServerFacts> {
  const redis = openRedis(url, settings, 'commands', 'doctor');
  // Told by untilReady.
  redis.on('error', () => undefined);
  try {
    await untilReady(redis, patienceMs);
    const persistence = await redis.info('persistence');
    const version = /^redis_version:(.*?)\r?$/m.exec(await redis.info('server'))?.[1] ?? 'unknown';
    const unfit = await refuseUnfitRedis(redis).then(
      () => undefined,
      (error: unknown) => {
        if (error instanceof UnfitRedisError) return error.message;
        throw error;
      },
    );
    return {
      version,
      unfit,
      appendOnly: /^aof_enabled:1\r?$/m.test(persistence),
      memoryUsedPercent: await memoryUsedPercent(redis),
      ...(await timeServer(redis, clock)),
    };
  } finally {
    redis.disconnect();
  }
}

/** The offset is that of the fastest answer: it was least delayed. */
async function timeServer(
  redis: RedisConnection,
  clock: Clock,
): Promise<Pick<ServerFacts, 'latencyMs' | 'clockOffsetMs'>> {
  const measured: { tookMs: number; offsetMs: number }[] = [];
  for (let sample = 0; sample < samples; sample++) {
    const startedMs = clock.monotonicMs();
    const [seconds, micros] = await redis.time();
    const tookMs = clock.monotonicMs() - startedMs;
    const redisMs = Number(seconds) * 1_000 + Number(micros) / 1_000;
    measured.push({ tookMs, offsetMs: redisMs - (clock.nowMs() - tookMs / 2) });
  }
  measured.sort((left, right) => left.tookMs - right.tookMs);
  return { latencyMs: measured[samples >> 1]!.tookMs, clockOffsetMs: measured[0]!.offsetMs };
}
