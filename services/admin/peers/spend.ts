import type { Settings } from '#config/schema.ts';
import { ownerOf, partOf } from '#shared/overlay/overlay-document.ts';
import { chargesOf, encodeCharges, keyById } from '#shared/quotas/charges.ts';
import { lookAtQuotas } from '#shared/quotas/look.ts';
import { usdOf } from '#shared/tokens/price.ts';
import { readUsage } from '#shared/usage/read-usage.ts';
import type { AdminParts } from '../admin-parts.ts';

type SpendParts = Pick<AdminParts, 'redis' | 'clock' | 'settings'>;

const dayMs = 86_400_000;
const nothing = { input: 0, output: 0, isOpen: false, price: () => 0 };

/**
 * US dollars that each key has spent, as LiteLLM counts them: of its budget since that was last reset, with what running
 * calls hold; of a key without a budget, on all days whose usage is kept. That is read once for all keys of a customer.
 */
export function spendOfKeys(
  parts: SpendParts,
  customers: Settings['customers'],
  ids: readonly string[],
): Promise<number[]> {
  const kept = new Map<string, ReturnType<typeof usageByKey>>();
  const spend = async (id: string) => {
    const [tenant, key] = [ownerOf(id), partOf(id)];
    const budget = budgetOf(parts, customers, tenant, key);
    if (budget !== undefined) return usdOf((await lookAtQuotas(parts.redis, tenant, budget))[0]?.used ?? 0);
    const usage = kept.get(tenant) ?? usageByKey(parts, tenant);
    kept.set(tenant, usage);
    return usdOf((await usage).get(key) ?? 0);
  };
  return Promise.all(ids.map(spend));
}

/** A key's own budget for all of its calls, as the scripts take it: others are its team's, or count some calls only. */
function budgetOf(
  { settings }: SpendParts,
  customers: Settings['customers'],
  tenant: string,
  key: string,
): string | undefined {
  const team = keyById(customers[tenant]!, key)?.team;
  const axes = { key, ...(team === undefined ? {} : { team }) };
  const own = chargesOf(customers, tenant, { axes, place: undefined, ...nothing }).find(
    ({ limit: { dimension, axis, match } }) =>
      dimension === 'nano_usd' && axis === 'key' && match.length === 0,
  );
  return own && encodeCharges([own], settings.quotas);
}

/** Nano-USD of each key of a customer. */
async function usageByKey({ redis, clock, settings: { jobs } }: SpendParts, tenant: string) {
  const toDay = Math.floor(clock.nowMs() / dayMs);
  const fromDay = toDay - jobs.usage_retention_days + 1;
  const { rows } = await readUsage(redis, [tenant], { groupBy: ['key'], fromDay, toDay });
  return new Map(rows.map(({ by, counters }) => [by.key, counters.nanoUsd + counters.wastedNanoUsd]));
}
