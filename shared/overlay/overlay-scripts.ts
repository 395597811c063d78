import { z } from 'zod';
import { defineScript } from '#shared/redis/script.ts';

const file = (name: string) => new URL(`./lua/${name}.lua`, import.meta.url);
const written = ['documents', 'shown', 'changes', 'removed', 'state', 'audit', 'change'] as const;

export const putDocument = defineScript({
  file: file('put-document'),
  keys: written,
  args: [
    'field',
    'document',
    'shownNow',
    'expected',
    'documentsMax',
    'who',
    'auditMax',
    'changeMs',
    'channel',
  ],
  reply: z.tuple([z.enum(['put', 'conflict', 'full']), z.number()]),
});

export const removeDocument = defineScript({
  file: file('remove-document'),
  keys: written,
  args: ['field', 'expected', 'who', 'auditMax', 'removedMax', 'changeMs', 'channel'],
  reply: z.tuple([z.enum(['removed', 'missing', 'conflict']), z.number()]),
});

export const readDocuments = defineScript({
  file: file('read-documents'),
  keys: ['documents', 'changes', 'removed', 'state'],
  args: ['known'],
  reply: z.tuple([z.number(), z.enum(['some', 'all'])], z.string()),
});
