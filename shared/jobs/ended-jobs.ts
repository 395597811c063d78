import type { OutcomeHead } from '#shared/contracts/outcome.ts';
import { messageIdOf } from '#shared/contracts/webhook.ts';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

/** How a job ended, without its body: no head while it has not; undefined when there is no record of it. */
export async function endingOf(
  redis: RedisConnection,
  tenant: string,
  jobId: string,
): Promise<{ head: OutcomeHead | undefined } | undefined> {
  const [state, head] = await redis
    .hmget(keys.job(tenant, jobId), 'state', 'head')
    .catch((error: unknown) => {
      throw storeError(error);
    });
  return state ? { head: head ? (JSON.parse(head) as OutcomeHead) : undefined } : undefined;
}

/**
 * Lets ended jobs be forgotten sooner than usual: what they answered is kept elsewhere. One whose webhook message is
 * still to be made from its record stays.
 */
export async function forgetJobsIn(
  redis: RedisConnection,
  tenant: string,
  jobIds: readonly string[],
  seconds: number,
): Promise<void> {
  const forget = async (jobId: string) => {
    const message = keys.webhookMessage(tenant, messageIdOf(jobId));
    const [type, payload] = await redis.hmget(message, 'type', 'payload');
    if (type && payload === null) return;
    await redis.pexpire(keys.job(tenant, jobId), seconds * 1_000, 'LT');
  };
  await Promise.all(jobIds.map(forget));
}
