import { z } from 'zod';
import type { Delivery } from '#shared/deliveries/delivery-store.ts';
import type { WebhookEndpoint } from '#shared/deliveries/endpoint-store.ts';

const moment = z.int().nullable().describe('Seconds since the epoch.');

export const webhookEndpointObject = z
  .object({
    id: z.string(),
    object: z.literal('webhook_endpoint'),
    url: z.string(),
    events: z.array(z.string()),
    description: z.string(),
    status: z.enum(['active', 'paused', 'disabled']),
    status_reason: z.enum(['requested', 'failing', 'gone']).nullable(),
    created_at: z.int().describe('Seconds since the epoch.'),
    failing_since: moment,
    waiting: z.int().describe('Deliveries that have not ended.'),
    public_key: z.string().describe('Verifies `v1a` signatures (ed25519).'),
  })
  .meta({ id: 'WebhookEndpoint' });

export const webhookEndpointWithSecret = webhookEndpointObject
  .extend({ secret: z.string().describe('Verifies `v1` signatures. Shown this once.') })
  .meta({ id: 'WebhookEndpointWithSecret' });

export const webhookEndpointList = z
  .object({ object: z.literal('list'), data: z.array(webhookEndpointObject) })
  .meta({ id: 'WebhookEndpointList' });

export const webhookDeliveryObject = z
  .object({
    id: z.string(),
    object: z.literal('webhook_delivery'),
    endpoint: z.string(),
    message: z.string().describe('The `webhook-id` of every attempt.'),
    type: z.string(),
    status: z.enum(['pending', 'held', 'delivered', 'failed', 'dropped']),
    created_at: z.int().describe('Time of the message, seconds since the epoch.'),
    next_attempt_at: moment,
    ended_at: moment,
    attempts: z.array(
      z.object({
        at: z.int(),
        status: z.int().nullable(),
        error: z.string().nullable(),
        duration_ms: z.int(),
      }),
    ),
  })
  .meta({ id: 'WebhookDelivery' });

export const webhookDeliveryList = z
  .object({
    object: z.literal('list'),
    data: z.array(webhookDeliveryObject),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: 'WebhookDeliveryList' });

export const recoveryObject = z
  .object({
    object: z.literal('webhook_recovery'),
    endpoint: z.string(),
    requeued: z.int(),
    complete: z.boolean().describe('False when the endpoint had no room for more: ask again later.'),
  })
  .meta({ id: 'WebhookRecoveryAnswer' });

const seconds = (ms: number | undefined) => (ms === undefined ? null : Math.floor(ms / 1_000));

export function toEndpointObject(endpoint: WebhookEndpoint): z.infer<typeof webhookEndpointObject> {
  const { id, url, events, description, status, reason, createdMs, failingSinceMs, open, publicKey } =
    endpoint;
  return {
    id,
    object: 'webhook_endpoint',
    url,
    events,
    description,
    status,
    status_reason: (reason ?? null) as 'requested' | 'failing' | 'gone' | null,
    created_at: Math.floor(createdMs / 1_000),
    failing_since: seconds(failingSinceMs),
    waiting: open,
    public_key: publicKey,
  };
}

export function toDeliveryObject(delivery: Delivery): z.infer<typeof webhookDeliveryObject> {
  return {
    id: delivery.id,
    object: 'webhook_delivery',
    endpoint: delivery.endpointId,
    message: delivery.messageId,
    type: delivery.type,
    status: delivery.state,
    created_at: Math.floor(delivery.createdMs / 1_000),
    next_attempt_at: seconds(delivery.nextMs),
    ended_at: seconds(delivery.endedMs),
    attempts: delivery.attempts.map(({ at, status, error, durationMs }) => ({
      at: Math.floor(at / 1_000),
      status,
      error,
      duration_ms: durationMs,
    })),
  };
}
