import type { Settings } from '#config/schema.ts';
import { toBatchObject } from '#shared/batches/batch-object.ts';
import type { BatchStore } from '#shared/batches/batch-store.ts';
import type { DeliveryStore, Message } from '#shared/deliveries/delivery-store.ts';
import type { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import { messageBody } from '#shared/deliveries/message-body.ts';
import { deliveryIdOf, isEndpointId, partsOfDelivery } from '#shared/deliveries/webhook-ids.ts';
import { recordLifeMs } from '#shared/jobs/job-record.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import type { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { ensureTicket } from './delivery-queue.ts';
import { jobPayload } from './payload.ts';

export interface DispatchParts {
  jobs: JobStore;
  batches: BatchStore;
  deliveries: DeliveryStore;
  endpoints: EndpointStore;
  queue: PoolQueue;
  settings: Settings;
  /** How long a tenant wants its results kept, if it says so now. */
  retentionSecondsOf: (tenant: string) => number | undefined;
  metrics: Metrics;
  onError: (error: unknown) => void;
}

/** Entries of one outbox looked at at the same time. */
const together = 20;
const messagePattern = /^msg_/;
const endpointPattern = /^we_/;

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
  if (messagePattern.test(entry)) return fanOut(parts, tenant, entry);
  // An endpoint with more waiting than one step releases.
  if (endpointPattern.test(entry)) return parts.endpoints.release(tenant, entry).then(() => undefined);
  return mendDelivery(parts, tenant, entry, nowMs);
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

/** Makes the body of a message from the record it is about; false when nothing is left to make it from. */
async function hasBody(
  parts: DispatchParts,
  tenant: string,
  messageId: string,
  message: Message,
): Promise<boolean> {
  if (message.payload !== undefined) return true;
  const body =
    message.batch === undefined
      ? await bodyOfJob(parts, tenant, message)
      : await bodyOfBatch(parts, tenant, message);
  if (!body) return false;
  const recordMs = recordLifeMs(parts.settings.jobs, parts.retentionSecondsOf(tenant));
  await parts.deliveries.prepare(tenant, messageId, message.job, body, recordMs);
  return true;
}

async function bodyOfJob(
  { jobs, settings }: DispatchParts,
  tenant: string,
  { type, job: jobId }: Message,
): Promise<Buffer | undefined> {
  if (jobId === undefined) return undefined;
  const [job, outcome] = await Promise.all([jobs.view(tenant, jobId), jobs.outcome(tenant, jobId)]);
  const { result_inline_max_bytes } = settings.webhooks;
  return job && jobPayload(type, job, outcome, settings.http.public_url ?? '', result_inline_max_bytes);
}

async function bodyOfBatch(
  { batches }: DispatchParts,
  tenant: string,
  { type, batch: batchId, createdMs }: Message,
): Promise<Buffer | undefined> {
  const batch = batchId === undefined ? undefined : await batches.view(tenant, batchId);
  return batch && messageBody(type, createdMs, toBatchObject(batch, createdMs));
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
