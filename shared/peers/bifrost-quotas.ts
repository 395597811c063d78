import type { Fields } from './fields.ts';

/** Limits and budgets as customers, teams and keys of ours carry them. */
export interface Quotas {
  limits: Record<string, unknown>[];
  budgets: Record<string, unknown>[];
}

type Match = Record<string, string> | undefined;

const spanPattern = /^[1-9]\d{0,3}[smhdwMY]$/;

/**
 * Bifrost's `rate_limit`, `budget` and `budgets` (the first is older) of a customer, team, key or provider of a key.
 * Its windows begin with the first call after the last ended; ours slide, or follow the calendar, and admit no more.
 */
export function bifrostQuotas(fields: Fields, isAligned = false, match?: Match): Quotas {
  const aligned = fields.flag('calendar_aligned') ?? isAligned;
  const rate = fields.within('rate_limit');
  const budget = fields.within('budget');
  const budgets = [...(budget ? [budget] : []), ...fields.each('budgets')];
  return {
    limits: rate ? bifrostLimits(rate, aligned, match) : [],
    budgets: oneEach(budgets.flatMap((each) => bifrostBudget(each, aligned, match))),
  };
}

/** The amounts of one `rate_limit`. */
export function bifrostLimits(rate: Fields, isAligned: boolean, match?: Match): Quotas['limits'] {
  const aligned = rate.flag('calendar_aligned') ?? isAligned;
  const limits = (['token', 'request'] as const).flatMap((counted) => {
    const amount = rate.number(`${counted}_max_limit`);
    const window = spanOf(rate, `${counted}_reset_duration`);
    if (amount === undefined) return [];
    if (amount < 1) rate.note(`${counted}_max_limit`, 'nothing at all is allowed; here the least is 1');
    return [
      {
        [`${counted}s`]: Math.max(1, Math.floor(amount)),
        window: window ?? '1m',
        ...calendarOf(rate, aligned, window),
        ...(match ? { match } : {}),
      },
    ];
  });
  leaveCounters(rate);
  return limits;
}

/** One budget; nothing when it names no amount. */
export function bifrostBudget(budget: Fields, isAligned: boolean, match?: Match): Quotas['budgets'] {
  const aligned = budget.flag('calendar_aligned') ?? isAligned;
  const usd = budget.number('max_limit');
  const reset = spanOf(budget, 'reset_duration');
  leaveCounters(budget);
  if (usd === undefined) return [];
  const leastUsd = 0.000001;
  if (usd < leastUsd) budget.note('max_limit', 'nothing at all may be spent; here the least is 0.000001 USD');
  return [
    {
      usd: Math.max(leastUsd, usd),
      reset: reset ?? '1M',
      ...calendarOf(budget, aligned, reset),
      ...(match ? { match } : {}),
    },
  ];
}

function spanOf(fields: Fields, name: string): string | undefined {
  const span = fields.text(name);
  if (span === undefined || spanPattern.test(span)) return span;
  fields.note(name, 'is no span of ours, such as 1m, 1h, 1d, 1w, 1M or 1Y');
  return undefined;
}

function calendarOf(fields: Fields, aligned: boolean, span: string | undefined): { calendar?: true } {
  if (!aligned) return {};
  if (span === undefined || /^1[mhdwMY]$/.test(span)) return { calendar: true };
  fields.note('calendar_aligned', 'only windows of one unit follow the calendar; this one slides');
  return {};
}

/** What Bifrost keeps beside the settings: how far they are used. Here that is counted elsewhere, and begins anew. */
function leaveCounters(fields: Fields): void {
  const own = ['id', 'last_reset', 'created_at', 'updated_at', 'config_hash', 'virtual_key_id', 'team_id'];
  for (const name of [...own, 'provider_config_id', 'customer_id', 'token_last_reset', 'request_last_reset'])
    fields.take(name);
  for (const name of ['current_usage', 'token_current_usage', 'request_current_usage']) {
    const used = fields.take(name);
    if (typeof used === 'number' && used > 0) fields.note(name, 'what was used so far begins anew');
  }
  fields.end();
}

/** A budget that is given in the old and the new form counts once. */
function oneEach(budgets: Quotas['budgets']): Quotas['budgets'] {
  const seen = new Set<string>();
  return budgets.filter((budget) => {
    const text = JSON.stringify({ ...budget, usd: 0 });
    return !seen.has(text) && seen.add(text);
  });
}
