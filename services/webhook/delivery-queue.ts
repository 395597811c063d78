import type { PoolId, PoolQueue } from '#shared/queue/pool-queue.ts';

/**
 * The queue of deliveries is a pool like those of the providers, with a lane per endpoint: lanes take turns, and each
 * has only so many deliveries under way, so that a dead receiver delays nobody. The provider's name cannot be that
 * of a configured one.
 */
export const deliveryPool: PoolId = { provider: '~webhooks', pool: 'deliveries' };

const separator = '/';
/** An attempt is an attempt: lanes share by count. */
const oneAttempt = { input: 1, output: 0, max: 0 };

const laneOf = (tenant: string, endpointId: string) => `${tenant}${separator}${endpointId}`;
export const tenantOfLane = (lane: string) => lane.slice(0, lane.lastIndexOf(separator));

/** States of a BullMQ job in which its ticket is on its way, and needs nothing. */
const underWay = new Set(['waiting', 'prioritized', 'active']);

/** Makes sure that the ticket of a delivery is in the queue, due at `dueMs`. */
export async function ensureTicket(
  queue: PoolQueue,
  delivery: { tenant: string; endpointId: string; id: string },
  dueMs: number,
  nowMs: number,
): Promise<void> {
  const state = await queue.state(delivery.id);
  if (underWay.has(state) || (state === 'delayed' && dueMs > nowMs)) return;
  // What BullMQ has left of an old ticket would make adding a new one a no-op.
  if (state !== 'unknown') await queue.remove(delivery.id);
  await queue.enqueue(
    { tenant: laneOf(delivery.tenant, delivery.endpointId), job: delivery.id },
    { priority: 0, tokens: oneAttempt, delayMs: Math.max(0, dueMs - nowMs), deadlineMs: dueMs },
  );
}
