import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { cellsOf } from './read-usage.ts';
import { counterNames, noCounters, type UsageCounters } from './usage-cell.ts';

const dayMs = 86_400_000;
const rowsPerRead = 1_000;

/** What both the ledger and the usage count. */
const compared = counterNames.filter((name) => name !== 'calls' && name !== 'failures');

export interface Discrepancy {
  day: number;
  counter: (typeof counterNames)[number];
  ledger: number;
  usage: number;
}

function addRow(into: UsageCounters, values: readonly string[]): void {
  const fields = new Map<string, string>();
  for (let at = 0; at < values.length; at += 2) fields.set(values[at]!, values[at + 1]!);
  const field = (name: string) => Number(fields.get(name) ?? 0);
  if (!fields.has('nanoUsd')) into.unpriced++;
  if (fields.get('kind') === 'wasted') {
    into.wastedTokens += field('inputTokens') + field('outputTokens');
    into.wastedNanoUsd += field('nanoUsd');
    return;
  }
  into.inputTokens += field('inputTokens');
  into.cachedTokens += field('cachedTokens');
  into.outputTokens += field('outputTokens');
  into.nanoUsd += field('nanoUsd');
}

/** The ledger of a day, added up. */
async function ledgerOf(redis: RedisConnection, tenant: string, day: number): Promise<UsageCounters> {
  const sums = noCounters();
  const to = `${(day + 1) * dayMs - 1}`;
  for (let from = `${day * dayMs}`; ; ) {
    const rows = await redis
      .xrange(keys.ledger(tenant), from, to, 'COUNT', rowsPerRead)
      .catch((error: unknown) => {
        throw storeError(error);
      });
    for (const [, values] of rows) addRow(sums, values);
    if (rows.length < rowsPerRead) return sums;
    from = `(${rows.at(-1)![0]}`;
  }
}

/**
 * Where the usage of a day is not the sum of its ledger. Both are written by settle.lua in one step, so there is nothing
 * to find, as long as the ledger still holds the whole day (`jobs.ledger_rows_max`).
 */
export async function reconcileDay(
  redis: RedisConnection,
  tenant: string,
  day: number,
): Promise<Discrepancy[]> {
  const ledger = await ledgerOf(redis, tenant, day);
  const usage = noCounters();
  for (const { counters } of await cellsOf(redis, tenant, day))
    for (const name of compared) usage[name] += counters[name];
  return compared
    .filter((counter) => ledger[counter] !== usage[counter])
    .map((counter) => ({ day, counter, ledger: ledger[counter], usage: usage[counter] }));
}
