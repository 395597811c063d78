import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

/** A job of a tenant's list, and when it was accepted by Redis' clock. */
export interface ListedJob {
  id: string;
  createdMs: number;
}

/**
 * Jobs that a tenant had accepted from a moment on, oldest first, up to `limit`, and Redis' time. A moment that is not
 * over yet is left out, so that whoever goes on from the last one misses none.
 */
export async function jobsSince(
  redis: RedisConnection,
  tenant: string,
  fromMs: number,
  limit: number,
): Promise<{ jobs: ListedJob[]; nowMs: number }> {
  // Asked first, on the same connection: what is accepted after the list was read is no older.
  const [[seconds, micros], found] = await ask(
    Promise.all([
      redis.time(),
      redis.zrangebyscore(keys.jobs(tenant), fromMs, '+inf', 'WITHSCORES', 'LIMIT', 0, limit),
    ]),
  );
  const nowMs = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
  const jobs = found.flatMap((id, index) =>
    index % 2 === 0 ? [{ id, createdMs: Number(found[index + 1]) }] : [],
  );
  return { jobs: jobs.filter(({ createdMs }) => createdMs < nowMs), nowMs };
}

/** The job a tenant had accepted last; undefined when it has none. */
export async function newestJob(redis: RedisConnection, tenant: string): Promise<string | undefined> {
  return (await ask(redis.zrevrange(keys.jobs(tenant), 0, 0)))[0];
}

/** A page of a tenant's job ids, newest first, after the job `after`. */
export async function pageOfJobs(
  redis: RedisConnection,
  tenant: string,
  after: string | undefined,
  limit: number,
): Promise<string[]> {
  const jobs = keys.jobs(tenant);
  if (after === undefined) return ask(redis.zrevrange(jobs, 0, limit - 1));
  const rank = await ask(redis.zrevrank(jobs, after));
  return rank === null ? [] : ask(redis.zrevrange(jobs, rank + 1, rank + limit));
}

/**
 * Drops ids from the list of jobs whose records are gone. Looks at the oldest, `batch` at a time, for as long as a
 * whole batch was gone; returns how many it dropped.
 */
export async function forgetOldest(redis: RedisConnection, tenant: string, batch: number): Promise<number> {
  const jobs = keys.jobs(tenant);
  for (let dropped = 0; ; ) {
    const oldest = await ask(redis.zrange(jobs, 0, String(batch - 1)));
    const present = await knownJobs(redis, tenant, oldest);
    const gone = oldest.filter((jobId) => !present.has(jobId));
    if (gone.length > 0) dropped += await ask(redis.zrem(jobs, ...gone));
    if (gone.length < batch) return dropped;
  }
}

/** Those of the jobs that there is a record of. */
export async function knownJobs(
  redis: RedisConnection,
  tenant: string,
  jobIds: readonly string[],
): Promise<Set<string>> {
  const found = await ask(Promise.all(jobIds.map((jobId) => redis.exists(keys.job(tenant, jobId)))));
  return new Set(jobIds.filter((_jobId, index) => found[index] === 1));
}

async function ask<T>(command: Promise<T>): Promise<T> {
  try {
    return await command;
  } catch (error) {
    throw storeError(error);
  }
}
