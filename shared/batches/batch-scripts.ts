import { z } from 'zod';
import { defineScript } from '#shared/redis/script.ts';

const lua = (file: string) => new URL(`./lua/${file}`, import.meta.url);
const text = z.string();
const number = z.number();

export const makeBatchScript = defineScript({
  file: lua('make-batch.lua'),
  keys: ['batch', 'batches', 'openBatches', 'file'],
  args: ['suppliedNowMs', 'batchId', 'openMax', 'windowMs'],
  reply: z.tuple([z.enum(['made', 'no_file', 'too_many']), number]),
});

export const claimBatchScript = defineScript({
  file: lua('claim-batch.lua'),
  keys: ['batch'],
  args: ['suppliedNowMs', 'token', 'leaseMs'],
  reply: z.tuple([z.enum(['claimed', 'busy', 'over', 'gone']), number]),
  allowOutOfMemory: true,
});

export const holdBatchScript = defineScript({
  file: lua('hold-batch.lua'),
  keys: ['batch'],
  args: ['suppliedNowMs', 'token', 'leaseMs'],
  reply: z.union([z.tuple([z.literal('held'), number, text]), z.tuple([z.literal('lost')])]),
  allowOutOfMemory: true,
});

export const advanceBatchScript = defineScript({
  file: lua('advance-batch.lua'),
  keys: ['batch'],
  args: ['suppliedNowMs', 'token', 'from', 'to'],
  reply: z.tuple([z.enum(['advanced', 'other', 'lost']), text]),
  allowOutOfMemory: true,
});

export const appendBatchScript = defineScript({
  file: lua('append-batch.lua'),
  keys: ['batch', 'done', 'output', 'errors'],
  args: [
    'token',
    'append',
    'outputPiece',
    'errorPiece',
    'outputBytes',
    'errorBytes',
    'completed',
    'failed',
    'unrun',
    'inputTokens',
    'cachedTokens',
    'outputTokens',
    'reasoningTokens',
    'nanoUsd',
    'cursorLine',
    'cursorOffset',
    'linesPerSecond',
  ],
  reply: z.enum(['appended', 'twice', 'lost']),
  allowOutOfMemory: true,
});

export const noteFailureScript = defineScript({
  file: lua('note-failure.lua'),
  keys: ['batch'],
  args: ['token'],
  reply: number,
  allowOutOfMemory: true,
});

export const mergePiecesScript = defineScript({
  file: lua('merge-pieces.lua'),
  keys: ['batch', 'pieces'],
  args: ['token', 'piece', 'bytes'],
  reply: z.enum(['merged', 'other']),
  allowOutOfMemory: true,
});

export const endBatchScript = defineScript({
  file: lua('end-batch.lua'),
  keys: ['batch', 'openBatches', 'done', 'file', 'outbox', 'message', 'subscriptions'],
  args: [
    'suppliedNowMs',
    'token',
    'batchId',
    'state',
    'retentionMs',
    'event',
    'messageId',
    'outboxChannel',
    'tenant',
  ],
  reply: z.tuple([z.enum(['ended', 'other', 'lost']), text]),
  allowOutOfMemory: true,
});

export const cancelBatchScript = defineScript({
  file: lua('cancel-batch.lua'),
  keys: ['batch'],
  args: ['suppliedNowMs'],
  reply: z.tuple([z.enum(['cancelling', 'ended', 'gone']), text]),
  allowOutOfMemory: true,
});

export const dueMembersScript = defineScript({
  file: lua('due-members.lua'),
  keys: ['moments'],
  args: ['suppliedNowMs', 'batch'],
  reply: z.array(text),
});
