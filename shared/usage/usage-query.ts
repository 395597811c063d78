import { z } from 'zod';
import { SluiceError } from '#shared/kernel/errors.ts';
import { usageAxes } from './usage-cell.ts';

const dayMs = 86_400_000;

/** What usage may be grouped by; the tenant only where several are read. */
export const usageGroups = ['tenant', 'day', 'month', ...usageAxes] as const;
export type UsageGroup = (typeof usageGroups)[number];

const isDay = (text: string) => {
  const ms = Date.parse(`${text}T00:00:00Z`);
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
};
const day = z.string().refine(isDay, 'write a day as YYYY-MM-DD').optional();

/** The query of a request for usage; `usageQueryOf` reads it. */
export const usageQuery = z.object({
  group_by: z
    .string()
    .default('day')
    .describe(
      'What to tell apart, with commas between: day or month, and any of key, team, user, feature, route, provider, model.',
    ),
  from: day.describe('First UTC day, YYYY-MM-DD; unset: the first of the month.'),
  to: day.describe('Last UTC day; unset: today.'),
  format: z.enum(['json', 'csv']).default('json'),
});

export interface UsageQuery {
  groupBy: UsageGroup[];
  /** UTC days since the epoch, both included. */
  fromDay: number;
  toDay: number;
}

const dayOf = (text: string) => Date.parse(`${text}T00:00:00Z`) / dayMs;
export const nameOfDay = (number: number) => new Date(number * dayMs).toISOString().slice(0, 10);

function refuse(param: string, reason: string): never {
  throw new SluiceError('invalid_request', { fields: { reason: `${param}: ${reason}` }, param });
}

/** @throws SluiceError invalid_request */
export function usageQueryOf(
  query: z.output<typeof usageQuery>,
  allowed: readonly UsageGroup[],
  { nowMs, daysMax }: { nowMs: number; daysMax: number },
): UsageQuery {
  const groupBy = query.group_by
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  for (const name of groupBy)
    if (!(allowed as readonly string[]).includes(name))
      refuse('group_by', `there is no ${name}; choose from ${allowed.join(', ')}`);
  const today = Math.floor(nowMs / dayMs);
  const toDay = query.to === undefined ? today : dayOf(query.to);
  const fromDay = query.from === undefined ? dayOf(`${nameOfDay(toDay).slice(0, 7)}-01`) : dayOf(query.from);
  if (fromDay > toDay) refuse('from', 'it is after `to`');
  if (toDay - fromDay >= daysMax) refuse('from', `at most ${daysMax} days can be asked for`);
  return { groupBy: [...new Set(groupBy)] as UsageGroup[], fromDay, toDay };
}
