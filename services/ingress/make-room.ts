import type { JobRequest } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { type CancelJobParts, cancelWaiting } from './cancel-job.ts';

const retryAfterMs = 1_000;

/**
 * Holds back a call for a pool in which too many calls wait, as the pool says. A pool without a bound costs nothing; with
 * one, a call asks Redis once more. Calls that come at the same moment may go over the bound by as many as they are.
 *
 * @throws SluiceError pool_full
 */
export async function makeRoom(
  parts: CancelJobParts,
  tenant: string,
  { provider, pool: name }: JobRequest,
): Promise<void> {
  const { depth_max: limit, on_full } = parts.settings.providers[provider]?.pools[name] ?? {};
  const queue = parts.queueOf(provider, name);
  if (limit === undefined || on_full === 'block' || !queue) return;
  const { waiting, delayed } = await queue.counts();
  const current = waiting + delayed;
  if (current < limit) return;
  const pool = `${provider}/${name}`;
  const oldest = on_full === 'drop' ? await queue.firstOf(tenant) : undefined;
  const dropped = new SluiceError('dropped', { fields: { pool } });
  if (oldest !== undefined && (await cancelWaiting(parts, tenant, oldest, 'failed', dropped))) return;
  throw new SluiceError('pool_full', { fields: { pool, current, limit }, retryAfterMs });
}
