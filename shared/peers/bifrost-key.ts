import { bifrostQuotas, type Quotas } from './bifrost-quotas.ts';
import type { Fields } from './fields.ts';

/** A virtual key as Bifrost describes it, in our words. */
export interface ForeignKey {
  /** What it is called there, if that is said. */
  id: string | undefined;
  /** The key itself, if it is told. */
  secret: string | undefined;
  team: string | undefined;
  customer: string | undefined;
  /** Fields of a virtual key of ours. Of what the foreign JSON did not speak, nothing is said here either. */
  settings: Record<string, unknown>;
}

export interface BifrostKeyOptions {
  /** In Bifrost's old configurations an empty list allows everything; since 1.5 it allows nothing. */
  emptyAllowsAll: boolean;
  /** Names of our providers that stand for one of Bifrost's, when only the named keys of it may be used. */
  providersOf?: (provider: string, keyIds: readonly string[]) => readonly string[];
}

const isAll = (list: readonly string[]) => list.includes('*');

/** Reads a virtual key: the body of `POST /api/governance/virtual-keys`, or an entry of `governance.virtual_keys`. */
export function bifrostKey(fields: Fields, options: BifrostKeyOptions): ForeignKey {
  const id = fields.text('id');
  const name = fields.text('name');
  const description = fields.text('description');
  const isAligned = fields.flag('calendar_aligned') ?? false;
  const own = bifrostQuotas(fields, isAligned);
  const hasQuotas = ['rate_limit', 'budget', 'budgets'].some((each) => fields.has(each));
  const providers = readProviders(fields, isAligned, options);
  const isActive = fields.flag('is_active');
  const expiresAt = fields.text('expires_at');
  const key: ForeignKey = {
    id,
    secret: fields.text('value'),
    team: fields.text('team_id'),
    customer: fields.text('customer_id'),
    settings: {
      ...(name === undefined ? {} : { name }),
      ...(name === undefined && description !== undefined ? { name: description } : {}),
      ...(providers?.access ?? {}),
      ...(hasQuotas || providers?.quotas
        ? {
            limits: [...own.limits, ...(providers?.quotas?.limits ?? [])],
            budgets: [...own.budgets, ...(providers?.quotas?.budgets ?? [])],
          }
        : {}),
      ...(isActive === undefined ? {} : { is_active: isActive }),
      ...(fields.has('expires_at') ? { expires_at: expiresAt } : {}),
    },
  };
  if (name !== undefined && description !== undefined) fields.note('description', 'a key has a name only');
  for (const kept of ['created_at', 'updated_at', 'config_hash', 'created_by', 'rate_limit_id', 'budget_id'])
    fields.take(kept);
  fields.end();
  return key;
}

interface ReadProviders {
  access: Record<string, unknown>;
  quotas: Quotas | undefined;
}

function readProviders(
  fields: Fields,
  isAligned: boolean,
  options: BifrostKeyOptions,
): ReadProviders | undefined {
  const allowAll = fields.flag('allow_all_providers');
  const isSaid = fields.has('provider_configs');
  const configs = fields.each('provider_configs');
  if (allowAll === true && configs.length === 0) return { access: {}, quotas: undefined };
  if (configs.length === 0) {
    const deniesAll = !options.emptyAllowsAll && (isSaid || allowAll === false);
    return deniesAll ? { access: { allowed_providers: [] }, quotas: undefined } : undefined;
  }
  if (allowAll === true)
    fields.note('allow_all_providers', 'only the providers of provider_configs are allowed');
  const read = configs.map((config) => readProvider(config, isAligned, options));
  const quotas = read.map((each) => each.quotas);
  return {
    access: { provider_configs: read.flatMap(({ entries }) => entries) },
    quotas: {
      limits: quotas.flatMap(({ limits }) => limits),
      budgets: quotas.flatMap(({ budgets }) => budgets),
    },
  };
}

/** One provider of a key: what it may call there, its share, and what is limited there. */
function readProvider(
  config: Fields,
  isAligned: boolean,
  { emptyAllowsAll, providersOf }: BifrostKeyOptions,
): { entries: Record<string, unknown>[]; quotas: Quotas } {
  const provider = config.text('provider') ?? '';
  if (provider === '') config.note('provider', 'is missing');
  const models = config.texts('allowed_models');
  const keyIds = config.texts('key_ids') ?? ['*'];
  const weight = config.number('weight');
  const ours = providersOf?.(provider, keyIds) ?? [provider];
  if (!providersOf && !isAll(keyIds))
    config.note('key_ids', 'credentials are not chosen by virtual key: all of the provider may be used');
  const anyModel = models === undefined || isAll(models) || (models.length === 0 && emptyAllowsAll);
  const all = ours.map((name) => bifrostQuotasOf(config, isAligned, name));
  for (const kept of ['id', 'virtual_key_id', 'allow_all_keys']) config.take(kept);
  config.end();
  return {
    entries: ours.map((name) => ({
      provider: name,
      ...(weight === undefined ? {} : { weight }),
      ...(anyModel ? {} : { allowed_models: models }),
    })),
    quotas: { limits: all.flatMap(({ limits }) => limits), budgets: all.flatMap(({ budgets }) => budgets) },
  };
}

const bifrostQuotasOf = (config: Fields, isAligned: boolean, provider: string) =>
  bifrostQuotas(config, isAligned, { provider });
