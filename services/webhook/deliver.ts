import type { Settings } from '#config/schema.ts';
import type { BegunDelivery, DeliveryStore, EndedAttempt } from '#shared/deliveries/delivery-store.ts';
import type { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import { signingAt } from '#shared/deliveries/signing-keys.ts';
import { partsOfDelivery } from '#shared/deliveries/webhook-ids.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Random } from '#shared/kernel/random.ts';
import type { HeldTicket, Verdict } from '#shared/queue/ticket-worker.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { tenantOfLane } from './delivery-queue.ts';
import { askedPatienceMs, pauseAfter } from './next-attempt.ts';
import type { Receipt, ReceiverClient } from './receiver-client.ts';
import { signedHeaders } from './signature.ts';

export interface DeliverParts {
  deliveries: DeliveryStore;
  endpoints: EndpointStore;
  client: ReceiverClient;
  settings: Settings['webhooks'];
  metrics: Metrics;
  log: Logger;
  clock: Clock;
  random: Random;
}

const done: Verdict = { kind: 'done' };
/** A receipt that cannot be stored is tried again for this long; past it the message will be sent once more. */
const storeRetryMaxMs = 60_000;
const storeRetryPauseMs = 250;
const throttling = new Set([429, 502, 503, 504]);

/** begin → sign → send → end, for one delivery. The branching of the webhook service is here and nowhere else. */
export async function deliver(parts: DeliverParts, held: HeldTicket): Promise<Verdict> {
  const tenant = tenantOfLane(held.ticket.tenant);
  const deliveryId = held.ticket.job;
  const begun = await parts.deliveries.begin(tenant, deliveryId);
  if (begun.kind === 'later') return begun;
  if (begun.kind !== 'send') return done;
  const ended = await attempt(parts, tenant, deliveryId, begun);
  const reply = await stored(parts, () => parts.deliveries.end(tenant, deliveryId, ended));
  const { endpointId } = partsOfDelivery(deliveryId)!;
  if (reply.endpoint !== '') parts.log.info({ tenant, endpoint: endpointId }, `endpoint ${reply.endpoint}`);
  // What failed while the receiver was away need not wait for its schedule now that it is back.
  if (reply.endpoint === 'recovered') await parts.endpoints.release(tenant, endpointId);
  return reply.delayMs === undefined ? done : { kind: 'later', delayMs: reply.delayMs };
}

async function attempt(
  { endpoints, client, clock, metrics, settings, random }: DeliverParts,
  tenant: string,
  deliveryId: string,
  begun: Extract<BegunDelivery, { kind: 'send' }>,
): Promise<EndedAttempt> {
  const keys = endpoints.openKeys(tenant, begun.signer, begun.sealedKeys);
  const { messageId } = partsOfDelivery(deliveryId)!;
  const headers = signedHeaders(messageId, begun.nowMs, begun.payload, signingAt(keys, begun.nowMs));
  // Keys in use follow a new encryption key by themselves.
  await endpoints.reseal(tenant, begun.signer, begun.sealedKeys);
  const startedAt = clock.monotonicMs();
  const receipt = await client.send(begun.url, headers, begun.payload);
  const durationMs = clock.monotonicMs() - startedAt;
  metrics.webhookSeconds.observe(durationMs / 1_000);
  metrics.webhookAttempts.inc({ result: nameOf(receipt) });
  const { status } = receipt;
  const isDelivered = status !== null && status >= 200 && status <= 299;
  const patienceMs =
    status === null ? 0 : askedPatienceMs(receipt.retryAfter, begun.nowMs, settings.retry_after_max_ms);
  return {
    attempt: begun.attempt,
    result: isDelivered ? 'delivered' : status === 410 ? 'gone' : 'failed',
    row: {
      at: begun.nowMs,
      status,
      error: isDelivered ? null : nameOf(receipt),
      durationMs: Math.round(durationMs),
    },
    delayMs: pauseAfter(begun.attempt, patienceMs, settings, random),
    throttleMs: status !== null && throttling.has(status) ? patienceMs : 0,
  };
}

/** Bounded names: they are labels of a metric. */
function nameOf(receipt: Receipt): string {
  if (receipt.status === null) return receipt.error;
  if (receipt.status >= 200 && receipt.status <= 299) return 'delivered';
  if (receipt.status === 410) return 'gone';
  return receipt.status >= 300 && receipt.status <= 399
    ? 'redirect'
    : `status_${Math.floor(receipt.status / 100)}xx`;
}

async function stored<T>({ clock }: DeliverParts, store: () => Promise<T>): Promise<T> {
  const giveUpAt = clock.monotonicMs() + storeRetryMaxMs;
  for (;;) {
    try {
      return await store();
    } catch (error) {
      const passing = error instanceof SluiceError && error.code === 'store_unavailable';
      if (!passing || clock.monotonicMs() > giveUpAt) throw error;
      await clock.sleep(storeRetryPauseMs);
    }
  }
}
