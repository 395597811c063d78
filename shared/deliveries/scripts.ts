import { z } from 'zod';
import { defineScript } from '#shared/redis/script.ts';

const lua = (file: string) => new URL(`./lua/${file}`, import.meta.url);
const text = z.string();
const number = z.number();
const endpointChange = z.enum(['', 'recovered', 'disabled', 'paused']);

export const saveEndpointScript = defineScript({
  file: lua('save-endpoint.lua'),
  keys: ['endpoint', 'endpoints', 'subscriptions'],
  args: ['suppliedNowMs', 'endpointId', 'mode', 'endpointsMax', 'events', 'ttlMs'],
  reply: z.enum(['saved', 'full', 'gone']),
});

export const resealKeysScript = defineScript({
  file: lua('reseal-keys.lua'),
  keys: ['endpoint'],
  args: ['before', 'sealed'],
  reply: z.enum(['resealed', 'other']),
});

export const publishMessageScript = defineScript({
  file: lua('publish-message.lua'),
  keys: ['message', 'outbox', 'subscriptions'],
  args: ['suppliedNowMs', 'messageId', 'type', 'payload', 'target', 'retentionMs', 'outboxChannel', 'tenant'],
  reply: z.enum(['published', 'known', 'unheard']),
});

export const claimOutboxScript = defineScript({
  file: lua('claim-outbox.lua'),
  keys: ['outbox'],
  args: ['suppliedNowMs', 'batch', 'claimMs'],
  reply: z.tuple([number], text),
});

export const prepareMessageScript = defineScript({
  file: lua('prepare-message.lua'),
  keys: ['message', 'record'],
  args: ['suppliedNowMs', 'payload', 'retentionMs', 'recordMs'],
  reply: z.enum(['prepared', 'gone']),
});

export const addDeliveryScript = defineScript({
  file: lua('add-delivery.lua'),
  keys: ['delivery', 'endpoint', 'outbox', 'backlog', 'waiting', 'log', 'deliveryPrefix'],
  args: ['suppliedNowMs', 'deliveryId', 'type', 'createdMs', 'retentionMs', 'backlogMax', 'logMax'],
  reply: z.enum(['pending', 'held', 'dropped', 'known', 'gone']),
});

export const beginDeliveryScript = defineScript({
  file: lua('begin-delivery.lua'),
  keys: ['delivery', 'message', 'endpoint', 'fallback', 'outbox', 'backlog', 'waiting'],
  args: ['suppliedNowMs', 'deliveryId', 'gapMs', 'burstMs'],
  reply: z.union([
    z.tuple([z.literal('send'), number, number, text, z.enum(['own', 'fallback']), text, text]),
    z.tuple([z.literal('later'), number]),
    z.tuple([z.enum(['held', 'done'])]),
  ]),
  allowOutOfMemory: true,
});

export const endAttemptScript = defineScript({
  file: lua('end-attempt.lua'),
  keys: ['delivery', 'endpoint', 'outbox', 'backlog', 'waiting'],
  args: [
    'suppliedNowMs',
    'deliveryId',
    'attempt',
    'result',
    'row',
    'delayMs',
    'throttleMs',
    'pauseAfterMs',
    'recheckMs',
  ],
  reply: z.union([
    z.tuple([z.literal('done'), endpointChange]),
    z.tuple([z.literal('later'), endpointChange, number]),
  ]),
  allowOutOfMemory: true,
});

export const requeueDeliveryScript = defineScript({
  file: lua('requeue-delivery.lua'),
  keys: ['delivery', 'message', 'endpoint', 'outbox', 'backlog', 'waiting'],
  args: ['suppliedNowMs', 'deliveryId', 'evenDelivered', 'backlogMax', 'outboxChannel', 'tenant'],
  reply: z.enum(['requeued', 'arrived', 'full', 'gone']),
});

export const releaseWaitingScript = defineScript({
  file: lua('release-waiting.lua'),
  keys: ['endpoint', 'outbox', 'backlog', 'waiting', 'deliveryPrefix'],
  args: ['suppliedNowMs', 'endpointId', 'batch', 'outboxChannel', 'tenant'],
  reply: number,
});
