import { stringify } from 'csv-stringify/sync';
import { z } from 'zod';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { usdOf } from '#shared/tokens/price.ts';
import { readUsage, type UsageRow } from './read-usage.ts';
import type { UsageCounters } from './usage-cell.ts';
import { nameOfDay, type UsageQuery, usageGroups } from './usage-query.ts';

const figures = {
  calls: z.int(),
  failures: z.int().describe('Of the calls: failed, expired, or of unknown outcome.'),
  input_tokens: z.int().describe('With what the prompt cache read.'),
  cached_input_tokens: z.int(),
  output_tokens: z.int(),
  cost_usd: z.number(),
  unpriced: z.int().describe('Calls and wasted attempts that used tokens for which no price is known.'),
  wasted_tokens: z
    .int()
    .describe('Paid for, but nobody’s answer: attempts of lost workers. Not among the others.'),
  wasted_usd: z.number(),
};
const groups = Object.fromEntries(usageGroups.map((name) => [name, z.string().nullable().optional()]));

/** Usage as the API tells it. */
export const usageAnswer = z
  .object({
    object: z.literal('usage'),
    from: z.string(),
    to: z.string(),
    group_by: z.array(z.enum(usageGroups)),
    data: z.array(z.object({ ...groups, ...figures })),
    total: z.object(figures),
  })
  .meta({ id: 'Usage' });

function figuresOf(counters: UsageCounters) {
  return {
    calls: counters.calls,
    failures: counters.failures,
    input_tokens: counters.inputTokens,
    cached_input_tokens: counters.cachedTokens,
    output_tokens: counters.outputTokens,
    cost_usd: usdOf(counters.nanoUsd),
    unpriced: counters.unpriced,
    wasted_tokens: counters.wastedTokens,
    wasted_usd: usdOf(counters.wastedNanoUsd),
  };
}

const flat = ({ by, counters }: UsageRow) => ({ ...by, ...figuresOf(counters) });

/** Answers a request for the usage of tenants, as JSON or CSV. @throws SluiceError invalid_request */
export async function answerUsage(
  redis: RedisConnection,
  tenants: readonly string[],
  query: UsageQuery,
  format: 'json' | 'csv',
): Promise<{ contentType: string; body: string }> {
  const { rows, total } = await readUsage(redis, tenants, query);
  const data = rows.map(flat);
  if (format === 'csv') {
    const columns = [...query.groupBy, ...Object.keys(figures)];
    // Names that callers choose must not become formulas in somebody's spreadsheet.
    const body = stringify(data, { header: true, columns, escape_formulas: true });
    return { contentType: 'text/csv; charset=utf-8', body };
  }
  const [from, to] = [nameOfDay(query.fromDay), nameOfDay(query.toDay)];
  const answer = { object: 'usage', from, to, group_by: query.groupBy, data, total: figuresOf(total) };
  return { contentType: 'application/json; charset=utf-8', body: JSON.stringify(answer) };
}
