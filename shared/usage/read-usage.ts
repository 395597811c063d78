import { SluiceError } from '#shared/kernel/errors.ts';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { addCounters, noCounters, parseCell, type UsageCell, type UsageCounters } from './usage-cell.ts';
import { nameOfDay, type UsageGroup, type UsageQuery } from './usage-query.ts';

/** Calls that are alike in all that was grouped by; null: they have no such axis. */
export interface UsageRow {
  by: Partial<Record<UsageGroup, string | null>>;
  counters: UsageCounters;
}

/** More rows than this are for several questions. */
const rowsMax = 10_000;

/**
 * Usage of tenants, added up by what the query groups by, in the order of its days.
 *
 * @throws SluiceError invalid_request when that would be too many rows
 */
export async function readUsage(
  redis: RedisConnection,
  tenants: readonly string[],
  { groupBy, fromDay, toDay }: UsageQuery,
): Promise<{ rows: UsageRow[]; total: UsageCounters }> {
  const rows = new Map<string, UsageRow>();
  const total = noCounters();
  for (let day = fromDay; day <= toDay; day++) {
    for (const tenant of tenants) {
      for (const { axes, counters } of await cellsOf(redis, tenant, day)) {
        const name = nameOfDay(day);
        const all: UsageRow['by'] = { ...axes, tenant, day: name, month: name.slice(0, 7) };
        const by = Object.fromEntries(groupBy.map((group) => [group, all[group] ?? null]));
        const id = JSON.stringify(by);
        const row = rows.get(id) ?? { by, counters: noCounters() };
        addCounters(row.counters, counters);
        addCounters(total, counters);
        rows.set(id, row);
      }
      if (rows.size > rowsMax) throw tooMany();
    }
  }
  return { rows: [...rows.values()], total };
}

function tooMany(): SluiceError {
  const reason = `group_by: more than ${rowsMax} rows; group by less, or ask for fewer days`;
  return new SluiceError('invalid_request', { fields: { reason }, param: 'group_by' });
}

/** Every day is one hash of bounded size. */
export async function cellsOf(redis: RedisConnection, tenant: string, day: number): Promise<UsageCell[]> {
  const fields = await redis.hgetallBuffer(keys.usage(tenant, day)).catch((error: unknown) => {
    throw storeError(error);
  });
  return Object.entries(fields).map(([field, value]) => parseCell(field, value));
}
