import type { Settings } from '#config/schema.ts';
import { chargesOf, encodeCharges, keyById } from '#shared/quotas/charges.ts';
import { lookAtQuotas } from '#shared/quotas/look.ts';
import { usdOf } from '#shared/tokens/price.ts';
import { readUsage } from '#shared/usage/read-usage.ts';
import type { AdminParts } from '../admin-parts.ts';

const dayMs = 86_400_000;
const nothing = { input: 0, output: 0, isOpen: false, price: () => 0 };

/**
 * US dollars that a key has spent, as LiteLLM counts them: of its budget since that was last reset, with what running calls
 * hold; of a key without a budget, on all days whose usage is kept.
 */
export async function spendOfKey(
  { redis, clock, settings: { quotas, jobs } }: Pick<AdminParts, 'redis' | 'clock' | 'settings'>,
  customers: Settings['customers'],
  tenant: string,
  keyId: string,
): Promise<number> {
  const team = keyById(customers[tenant]!, keyId)?.team;
  const axes = { key: keyId, ...(team === undefined ? {} : { team }) };
  const charges = chargesOf(customers, tenant, { axes, place: undefined, ...nothing });
  // Its own budget for all of its calls: others are its team's, or count some calls only.
  const budget = charges.filter(
    ({ limit: { dimension, axis, match } }) =>
      dimension === 'nano_usd' && axis === 'key' && match.length === 0,
  );
  const text = encodeCharges(budget.slice(0, 1), quotas);
  if (text !== undefined) return usdOf((await lookAtQuotas(redis, tenant, text))[0]?.used ?? 0);
  const toDay = Math.floor(clock.nowMs() / dayMs);
  const query = { groupBy: ['key' as const], fromDay: toDay - jobs.usage_retention_days + 1, toDay };
  const { rows } = await readUsage(redis, [tenant], query);
  const own = rows.find(({ by }) => by.key === keyId);
  return usdOf((own?.counters.nanoUsd ?? 0) + (own?.counters.wastedNanoUsd ?? 0));
}
