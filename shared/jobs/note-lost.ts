import type { Usage } from '#shared/contracts/job.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import { noteLostScript } from './scripts.ts';

/** Remembers what an attempt used whose worker was lost, until the end of the job charges it; may be sent again. */
export function noteLostAttempt(
  redis: RedisConnection,
  tenant: string,
  jobId: string,
  attempt: number,
  { inputTokens, outputTokens, cachedInputTokens = 0 }: Usage,
  nanoUsd: number | undefined,
): Promise<'noted' | 'known' | 'ended'> {
  return runScript(redis, noteLostScript, {
    keys: { record: keys.job(tenant, jobId) },
    args: { attempt, inputTokens, outputTokens, cachedTokens: cachedInputTokens, nanoUsd: nanoUsd ?? '' },
  });
}
