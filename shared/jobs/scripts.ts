import { z } from 'zod';
import { terminalStates } from '#shared/contracts/job.ts';
import { defineScript } from '#shared/redis/script.ts';

const lua = (file: string) => new URL(`./lua/${file}`, import.meta.url);
const countWaiting = lua('includes/count-waiting.lua');
const quotas = new URL('../quotas/lua/includes/quotas.lua', import.meta.url);
const text = z.string();
const number = z.number();

export const acceptScript = defineScript({
  file: lua('accept.lua'),
  includes: [countWaiting, quotas],
  keys: ['record', 'idempotency', 'jobs', 'open', 'depth', 'quota', 'together'],
  args: [
    'suppliedNowMs',
    'jobId',
    'fingerprint',
    'idempotencyMs',
    'goneJob',
    'waiter',
    'depthLimit',
    'deadlineMs',
    'firstLookMs',
    'runAtMs',
    'quotaText',
    'depthKey',
    'keyDepthLimit',
    'togetherMs',
    'readersMax',
  ],
  reply: z.union([
    z.tuple([z.literal('accepted'), text, number], z.coerce.number()),
    z.tuple([z.enum(['joined', 'mismatch', 'together']), text]),
    z.tuple([z.literal('queue_full'), number, number]),
    z.tuple(
      [z.enum(['limited', 'too_large', 'crowded']), number, z.coerce.number(), number],
      z.coerce.number(),
    ),
  ]),
});

export const joinScript = defineScript({
  file: lua('join.lua'),
  keys: ['record'],
  args: ['waiter', 'follows'],
  reply: z.enum(['gone', 'settled', 'waiting']),
});

export const leaveScript = defineScript({
  file: lua('leave.lua'),
  keys: ['record'],
  args: ['waiter'],
  reply: number,
});

export const leaveTogetherScript = defineScript({
  file: lua('leave-together.lua'),
  keys: ['together'],
  args: ['jobId', 'reader'],
  reply: number,
  allowOutOfMemory: true,
});

export const beginScript = defineScript({
  file: lua('begin.lua'),
  includes: [countWaiting, quotas],
  keys: ['record', 'depth', 'quota'],
  args: [
    'suppliedNowMs',
    'jobId',
    'token',
    'owner',
    'place',
    'leaseMs',
    'mayTakeOver',
    'crashesMax',
    'mayRunSuspect',
  ],
  reply: z.union([
    z.tuple([z.literal('begun'), number, number], text),
    z.tuple([z.enum(['busy', 'early', 'crashed']), number]),
    z.tuple([z.enum(['settled', 'gone', 'moved', 'late', 'cancelled', 'suspect', 'unknown'])]),
  ]),
  allowOutOfMemory: true,
});

export const heartbeatScript = defineScript({
  file: lua('heartbeat.lua'),
  keys: ['record'],
  args: ['suppliedNowMs', 'token', 'leaseMs'],
  reply: z.enum(['held', 'cancel', 'lost']),
  allowOutOfMemory: true,
});

export const abandonScript = defineScript({
  file: lua('abandon.lua'),
  includes: [countWaiting],
  keys: ['record', 'depth', 'quota'],
  args: [
    'suppliedNowMs',
    'token',
    'attemptRow',
    'refusal',
    'waitReason',
    'delayMs',
    'target',
    'provider',
    'pool',
    'model',
    'tokens',
    'wasted',
  ],
  reply: z.enum(['abandoned', 'lost']),
  allowOutOfMemory: true,
});

export const moveWaitingScript = defineScript({
  file: lua('move-waiting.lua'),
  keys: ['record'],
  args: [
    'suppliedNowMs',
    'from',
    'target',
    'provider',
    'pool',
    'model',
    'tokens',
    'waitReason',
    'attemptRow',
  ],
  reply: z.enum(['moved', 'other']),
  allowOutOfMemory: true,
});

export const giveBackScript = defineScript({
  file: lua('give-back.lua'),
  includes: [countWaiting],
  keys: ['record', 'depth', 'quota'],
  args: ['token'],
  reply: z.enum(['given', 'lost']),
  allowOutOfMemory: true,
});

export const noteLostScript = defineScript({
  file: lua('note-lost.lua'),
  keys: ['record'],
  args: ['attempt', 'inputTokens', 'outputTokens', 'cachedTokens', 'nanoUsd'],
  reply: z.enum(['noted', 'known', 'ended']),
  allowOutOfMemory: true,
});

export const settleScript = defineScript({
  file: lua('settle.lua'),
  includes: [countWaiting, quotas],
  keys: [
    'record',
    'open',
    'depth',
    'ledger',
    'learned',
    'outbox',
    'message',
    'subscriptions',
    'usagePrefix',
    'quota',
    'together',
  ],
  args: [
    'suppliedNowMs',
    'jobId',
    'event',
    'messageId',
    'outboxHoldMs',
    'outboxChannel',
    'tenant',
    'settler',
    'holder',
    'state',
    'onlyWaiting',
    'retentionMs',
    'head',
    'body',
    'usage',
    'attemptRow',
    'ledgerRowsMax',
    'learnedField',
    'provider',
    'model',
    'usedInput',
    'usedCached',
    'usedOutput',
    'nanoUsd',
    'usageCellsMax',
    'usageLifeMs',
    'untaught',
    'learnedMax',
  ],
  reply: z.union([
    z.tuple([z.literal('settled'), text], text),
    z.tuple([z.literal('already'), z.enum(terminalStates)]),
    z.tuple([z.literal('running'), text]),
    z.tuple([z.literal('gone')]),
  ]),
  allowOutOfMemory: true,
});

export const requestCancelScript = defineScript({
  file: lua('request-cancel.lua'),
  keys: ['record', 'together'],
  args: ['jobId'],
  reply: z.union([
    z.tuple([z.literal('requested'), text]),
    z.tuple([z.literal('ended'), z.enum(terminalStates)]),
    z.tuple([z.enum(['gone', 'queued', 'shared'])]),
  ]),
  allowOutOfMemory: true,
});

export const reclaimScript = defineScript({
  file: lua('reclaim.lua'),
  keys: ['record'],
  args: ['deadOwner'],
  reply: z.enum(['reclaimed', 'other']),
  allowOutOfMemory: true,
});

export const dueScript = defineScript({
  file: lua('due.lua'),
  keys: ['open'],
  args: ['suppliedNowMs', 'batch'],
  reply: z.tuple([number], text),
});
