import { createHash } from 'node:crypto';
import type { Outcome, OutcomeHead } from '#shared/contracts/outcome.ts';
import { endingOf } from '#shared/jobs/ended-jobs.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';

/** The job of a line, always the same: a process that takes a batch over asks for no line twice. */
export function lineJobId(batchId: string, lineNumber: number): string {
  return `job_${createHash('sha256').update(`${batchId} ${lineNumber}`).digest('hex').slice(0, 32)}`;
}

/** Stands for a body that was not read; compared by identity. */
export const unreadBody = Buffer.alloc(0);

/**
 * How a line's job ended, without its body, which is read when it is written. A record that is gone outlived its
 * retention while nobody drove the batch: what became of it cannot be known any more.
 */
export async function lineOutcome(
  redis: RedisConnection,
  tenant: string,
  jobId: string,
  accepted: boolean,
): Promise<Outcome | undefined> {
  const ending = await endingOf(redis, tenant, jobId);
  if (!ending && !accepted) return undefined;
  if (ending) return ending.head && { head: ending.head, body: unreadBody };
  const head: OutcomeHead = {
    job: jobId,
    state: 'outcome_unknown',
    provider: '',
    model: '',
    status: 502,
    contentType: 'application/json',
    headers: {},
    error: 'outcome_unknown',
    attempts: 0,
    queueMs: 0,
    providerMs: 0,
  };
  return { head, body: Buffer.alloc(0) };
}
