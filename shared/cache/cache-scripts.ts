import { z } from 'zod';
import { defineScript } from '#shared/redis/script.ts';

const lua = (file: string) => new URL(`./lua/${file}`, import.meta.url);
const text = z.string();

export const putScript = defineScript({
  file: lua('cache-put.lua'),
  keys: ['entries', 'index', 'sizes', 'total'],
  args: [
    'suppliedNowMs',
    'member',
    'head',
    'body',
    'blob',
    'bytes',
    'ttlMs',
    'entriesMax',
    'bytesMax',
    'evictMax',
  ],
  reply: z.array(text),
});

export const putVectorScript = defineScript({
  file: lua('cache-put-vector.lua'),
  keys: ['order', 'vectors', 'groups'],
  args: ['suppliedNowMs', 'member', 'vector', 'ttlMs', 'entriesMax', 'evictMax', 'group'],
  reply: z.number(),
});

export const dropScript = defineScript({
  file: lua('cache-drop.lua'),
  keys: ['entries', 'index', 'sizes', 'total'],
  args: [],
  reply: z.tuple([z.number()], text),
  allowOutOfMemory: true,
});
