import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import { leaveTogetherScript } from './scripts.ts';

/** By what identical calls find the job that they share. */
export interface Together {
  /** Digest of the call. */
  digest: string;
  /** Most callers of one job. */
  readersMax: number;
}

/** One caller's part of a job that identical calls share. */
export interface Share {
  together: Together;
  /** Tells this caller from the others. */
  reader: string;
}

/** How long the callers of a job are remembered after the last one came: longer than any of them waits. */
export const togetherMs = 7_200_000;

/**
 * One of the callers that share a job has gone; returns how many are left, -1 when it is not shared. Nobody joins after
 * the last one. May be sent again.
 */
export function leaveTogether(
  redis: RedisConnection,
  tenant: string,
  jobId: string,
  { together: { digest }, reader }: Share,
): Promise<number> {
  return runScript(redis, leaveTogetherScript, {
    keys: { together: keys.together(tenant, digest) },
    args: { jobId, reader },
  });
}
