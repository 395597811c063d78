import { z } from 'zod';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { defineScript, runScript } from '#shared/redis/script.ts';
import { type Counted, countedOf } from './charges.ts';

const lookScript = defineScript({
  file: new URL('./lua/look-at-quotas.lua', import.meta.url),
  includes: [new URL('./lua/includes/quotas.lua', import.meta.url)],
  keys: ['quota'],
  args: ['suppliedNowMs', 'quotaText'],
  reply: z.array(z.coerce.number()),
});

/** How far the quotas of a caller are used. @throws SluiceError store_unavailable */
export async function lookAtQuotas(
  redis: RedisConnection,
  tenant: string,
  text: string,
  suppliedNowMs: number | '' = '',
): Promise<Counted[]> {
  const reply = await runScript(redis, lookScript, {
    keys: { quota: keys.quota(tenant) },
    args: { suppliedNowMs, quotaText: text },
  });
  return countedOf(reply);
}
