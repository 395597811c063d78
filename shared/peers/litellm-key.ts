import type { Fields } from './fields.ts';

/** A key, team or user as LiteLLM describes it, in our words. */
export interface LitellmEntity {
  /** Fields of a key, team or customer of ours; only what the JSON speaks of. */
  settings: Record<string, unknown>;
  teamId: string | undefined;
  userId: string | undefined;
  alias: string | undefined;
}

const litellmSpan = /^([1-9]\d{0,3})(s|m|h|d|w|mo)$/;
const secondsOf = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800, mo: 2_592_000 } as const;

/** LiteLLM's spans: `30s 30m 30h 30d 1w 1mo`. Undefined for any other text. */
export function spanSeconds(text: string): number | undefined {
  const [, amount, unit] = litellmSpan.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * secondsOf[unit as keyof typeof secondsOf];
}

const ourSpan = (text: string) => text.replace(/mo$/, 'M');

/**
 * Reads the body of `/key/generate`, `/key/update`, `/team/new` or `/user/new`. LiteLLM's names of limits are those of
 * one minute; an empty list of models allows all of them there.
 */
export function litellmEntity(fields: Fields, what: 'key' | 'team' | 'user', nowMs: number): LitellmEntity {
  const alias = fields.text(`${what}_alias`);
  const teamId = fields.text('team_id');
  const userId = fields.text('user_id');
  const models = fields.has('models') ? (fields.texts('models') ?? []) : undefined;
  const blocked = fields.flag('blocked');
  const limits = readLimits(fields);
  const budgets = readBudgets(fields);
  const expiresAt = what === 'key' ? readExpiry(fields, nowMs) : undefined;
  for (const name of ['key', 'team_id', 'user_id', 'spend', 'auto_create_key', 'send_invite_email', 'token'])
    fields.take(name);
  leaveRest(fields);
  return {
    alias,
    teamId,
    userId,
    settings: {
      ...(alias === undefined ? {} : { name: alias }),
      ...(models === undefined ? {} : { allowed_models: allowedOf(models) }),
      ...(limits === undefined ? {} : { limits }),
      ...(budgets === undefined ? {} : { budgets }),
      ...(blocked === undefined || what !== 'key' ? {} : { is_active: !blocked }),
      ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
    },
  };
}

/** Their names for "all models", and ours, which is to say nothing. */
function allowedOf(models: readonly string[]): string[] | undefined {
  const all = ['*', 'all-proxy-models', 'all-team-models'];
  return models.length === 0 || models.some((model) => all.includes(model)) ? undefined : [...models];
}

const rates = [
  ['tpm_limit', 'tokens'],
  ['rpm_limit', 'requests'],
] as const;

/** All limits of the entity; undefined when it speaks of none. Null takes a limit away. */
function readLimits(fields: Fields): Record<string, unknown>[] | undefined {
  const limits: Record<string, unknown>[] = [];
  const isSaid = limitNames.some((name) => fields.names.includes(name));
  for (const [name, dimension] of rates) {
    const amount = fields.number(name);
    if (amount !== undefined) limits.push({ [dimension]: amount, window: '1m' });
  }
  const concurrency = fields.number('max_parallel_requests');
  if (concurrency !== undefined) limits.push({ concurrency });
  for (const [name, dimension] of rates) {
    const perModel = fields.within(`model_${name}`);
    for (const model of perModel?.names ?? []) {
      const amount = perModel!.number(model);
      if (amount !== undefined) limits.push({ [dimension]: amount, window: '1m', match: { model } });
    }
  }
  return isSaid ? limits : undefined;
}

const limitNames = ['tpm_limit', 'rpm_limit', 'max_parallel_requests', 'model_tpm_limit', 'model_rpm_limit'];

function readBudgets(fields: Fields): Record<string, unknown>[] | undefined {
  const isSaid = ['max_budget', 'model_max_budget'].some((name) => fields.names.includes(name));
  const usd = fields.number('max_budget');
  const reset = readSpan(fields, 'budget_duration');
  const perModel = fields.within('model_max_budget');
  const budgets: Record<string, unknown>[] = [];
  // A budget without a duration is never reset there; the longest window of ours is the nearest to it.
  if (usd !== undefined) budgets.push({ usd, reset: reset ?? longestReset });
  if (usd !== undefined && reset === undefined)
    fields.note('budget_duration', 'a budget that is never reset is one of 100 years here');
  for (const model of perModel?.names ?? []) {
    const budget = modelBudget(perModel!, model);
    if (budget) budgets.push({ ...budget, match: { model } });
  }
  return isSaid ? budgets : undefined;
}

const longestReset = '100Y';

/** `{ "gpt-4": 5 }`, or `{ "gpt-4": { budget_limit, time_period } }`. */
function modelBudget(perModel: Fields, model: string): Record<string, unknown> | undefined {
  const given = perModel.take(model);
  if (typeof given === 'number') return { usd: given, reset: longestReset };
  const { budget_limit: usd, time_period: span } = (given ?? {}) as Record<string, unknown>;
  if (typeof usd === 'number' && typeof span === 'string' && spanSeconds(span) !== undefined)
    return { usd, reset: ourSpan(span) };
  perModel.note(model, 'is no budget of one model');
  return undefined;
}

function readSpan(fields: Fields, name: string): string | undefined {
  const span = fields.text(name);
  if (span === undefined || spanSeconds(span) !== undefined) return span && ourSpan(span);
  fields.note(name, 'is no span, such as 30d');
  return undefined;
}

/** When the key ends: `duration` from now on, or `expires`; null: never. */
function readExpiry(fields: Fields, nowMs: number): string | null | undefined {
  const duration = fields.text('duration');
  const expires = fields.text('expires');
  if (duration === undefined) return expires;
  if (duration === '-1' || duration === 'permanent') return null;
  const seconds = spanSeconds(duration);
  if (seconds !== undefined) return new Date(nowMs + seconds * 1_000).toISOString();
  fields.note('duration', 'is no span, such as 30d');
  return undefined;
}

function leaveRest(fields: Fields): void {
  fields.leave('metadata', 'keys carry no metadata');
  fields.leave('tags', 'keys carry no tags');
  fields.leave('soft_budget', 'nothing is told before a budget is used up');
  fields.leave('permissions', 'scopes of a key say what it may be used for');
  fields.leave('aliases', 'models have other names by routes, for all keys alike');
  fields.end();
}
