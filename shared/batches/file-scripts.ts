import { z } from 'zod';
import { defineScript } from '#shared/redis/script.ts';

const lua = (file: string) => new URL(`./lua/${file}`, import.meta.url);

export const keepFileScript = defineScript({
  file: lua('keep-file.lua'),
  keys: ['file', 'files', 'fileExpiry', 'fileBytes'],
  args: ['suppliedNowMs', 'fileId', 'bytes', 'bytesMax', 'expiresSeconds'],
  reply: z.tuple([z.enum(['kept', 'full']), z.number()]),
});

export const dropFileScript = defineScript({
  file: lua('drop-file.lua'),
  keys: ['file', 'files', 'fileExpiry', 'fileBytes'],
  args: ['suppliedNowMs', 'fileId', 'onlyExpired'],
  reply: z.enum(['dropped', 'held', 'fresh', 'gone']),
  allowOutOfMemory: true,
});
