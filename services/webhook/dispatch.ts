import type { Settings } from '#config/schema.ts';
import type { DeliveryStore, Message } from '#shared/deliveries/delivery-store.ts';
import type { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import { deliveryIdOf, isEndpointId, partsOfDelivery } from '#shared/deliveries/webhook-ids.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import type { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { ensureTicket } from './delivery-queue.ts';
import { jobPayload } from './payload.ts';

export interface DispatchParts {
  jobs: JobStore;
  deliveries: DeliveryStore;
  endpoints: EndpointStore;
  queue: PoolQueue;
  settings: Settings;
  metrics: Metrics;
  onError: (error: unknown) => void;
}

/** Entries of one outbox looked at at the same time. */
const together = 20;
const messagePattern = /^msg_/;

/**
 * Does what the due entries of a tenant's outbox still need, until none is due: a message is made and gets a delivery
 * per endpoint, a delivery gets a ticket. Whatever stops it half-way, the entry is due again and the rest is done.
 */
export async function dispatchOutbox(parts: DispatchParts, tenant: string): Promise<void> {
  for (;;) {
    const { nowMs, entries } = await parts.deliveries.claim(tenant);
    for (let from = 0; from < entries.length; from += together) {
      const some = entries.slice(from, from + together);
      await Promise.all(some.map((entry) => dispatchEntry(parts, tenant, entry, nowMs).catch(parts.onError)));
    }
    if (entries.length === 0) return;
  }
}

function dispatchEntry(parts: DispatchParts, tenant: string, entry: string, nowMs: number): Promise<void> {
  return messagePattern.test(entry)
    ? fanOut(parts, tenant, entry)
    : mendDelivery(parts, tenant, entry, nowMs);
}

async function fanOut(parts: DispatchParts, tenant: string, messageId: string): Promise<void> {
  const { deliveries, metrics } = parts;
  const message = await deliveries.message(tenant, messageId);
  if (message && (await hasBody(parts, tenant, messageId, message))) {
    for (const endpointId of await receiversOf(parts, tenant, message)) {
      const added = await deliveries.add(tenant, deliveryIdOf(messageId, endpointId), message);
      if (added === 'dropped') metrics.webhookAttempts.inc({ result: 'dropped' });
    }
  }
  await deliveries.lookAgain(tenant, messageId, undefined);
}

/** Makes the body of a message about a job; false when nothing is left to make it from. */
async function hasBody(
  { jobs, deliveries, settings }: DispatchParts,
  tenant: string,
  messageId: string,
  { type, job: jobId, payload }: Message,
): Promise<boolean> {
  if (payload !== undefined) return true;
  if (jobId === undefined) return false;
  const [job, outcome] = await Promise.all([jobs.view(tenant, jobId), jobs.outcome(tenant, jobId)]);
  if (!job) return false;
  const { result_inline_max_bytes } = settings.webhooks;
  const body = jobPayload(type, job, outcome, settings.http.public_url ?? '', result_inline_max_bytes);
  const recordMs = Math.max(settings.jobs.retention_seconds, settings.jobs.idempotency_seconds) * 1_000;
  await deliveries.prepare(tenant, messageId, jobId, body, recordMs);
  return true;
}

/** Who hears of a message: whom it names, and whoever subscribed to its type. */
async function receiversOf(
  { deliveries, endpoints }: DispatchParts,
  tenant: string,
  { type, target }: Message,
): Promise<Set<string>> {
  const receivers = new Set(await deliveries.subscribers(tenant, type));
  if (target !== undefined)
    receivers.add(isEndpointId(target) ? target : await endpoints.ensureForUrl(tenant, target));
  return receivers;
}

async function mendDelivery(
  { deliveries, queue, settings }: DispatchParts,
  tenant: string,
  deliveryId: string,
  nowMs: number,
): Promise<void> {
  const delivery = await deliveries.read(tenant, deliveryId);
  if (!delivery || delivery.endedMs !== undefined) {
    // Kept too long to be sent: beginning it takes it off every list.
    await deliveries.begin(tenant, deliveryId);
    return;
  }
  const { endpointId } = partsOfDelivery(deliveryId)!;
  const dueMs = delivery.nextMs ?? nowMs;
  await ensureTicket(queue, { tenant, endpointId, id: deliveryId }, dueMs, nowMs);
  await deliveries.lookAgain(tenant, deliveryId, Math.max(nowMs, dueMs) + settings.webhooks.recheck_ms);
}
