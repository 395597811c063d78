import { type BifrostKeyOptions, bifrostKey, type ForeignKey } from '#shared/peers/bifrost-key.ts';
import { bifrostBudget, bifrostLimits, bifrostQuotas, type Quotas } from '#shared/peers/bifrost-quotas.ts';
import type { Fields } from '#shared/peers/fields.ts';
import { freeName } from '#shared/peers/names.ts';
import { defaultCustomer, environmentPlace, type ImportedCustomer } from './imported.ts';

type Options = Required<BifrostKeyOptions>;
type Customers = Record<string, ImportedCustomer>;

/** Where a team of Bifrost went. */
interface Place {
  customer: string;
  team: string;
}

/** Whom teams and keys belong to that name nobody. */
const nobodys = 'default';

/** Bifrost's `governance` as customers of ours. */
export function bifrostCustomers(governance: Fields | undefined, options: Options): Customers {
  if (!governance) return { [nobodys]: defaultCustomer() };
  const referred = referredQuotas(governance);
  const customers: Customers = {};
  const customerIds = new Map<string, string>();
  for (const each of governance.each('customers')) {
    const { id, name, settings } = readOwner(each, referred);
    const ours = freeName(name ?? id ?? 'customer', (taken) => Object.hasOwn(customers, taken));
    customers[ours] = { ...settings, keys: [] };
    for (const known of [id, name]) if (known !== undefined) customerIds.set(known, ours);
    each.end();
  }
  const ownerOf = (id: string | undefined): string => {
    const owner = (id === undefined ? undefined : customerIds.get(id)) ?? nobodys;
    if (!Object.hasOwn(customers, owner)) customers[owner] = { keys: [] };
    return owner;
  };
  const book: Book = { referred, customers, ownerOf, teams: new Map() };
  for (const each of governance.each('teams')) takeTeam(each, book);
  for (const each of governance.each('virtual_keys')) takeKey(each, options, book);
  governance.leave('auth_config', 'the admin API has one key: SLUICE_ADMIN_KEY');
  governance.leave('routing_rules', 'write them as rules of a route: the expressions have other names');
  governance.leave('model_configs', 'limits of a model belong to customers: `match: { model: … }`');
  governance.end();
  if (Object.keys(customers).length === 0) return { [nobodys]: defaultCustomer() };
  return customers;
}

/** What is known so far. */
interface Book {
  referred: Referred;
  customers: Customers;
  /** Name of our customer for an id of theirs; that of nobody where there is none. */
  ownerOf: (id: string | undefined) => string;
  teams: Map<string, Place>;
}

/** Limits and budgets that stand beside what they belong to, and are named by id. */
interface Referred {
  limits: Map<string, Quotas['limits']>;
  budgets: Map<string, Quotas['budgets']>;
}

function referredQuotas(governance: Fields): Referred {
  const byId = <T>(list: Fields[], read: (each: Fields) => T) =>
    new Map(
      list.flatMap((each): [string, T][] => {
        const id = each.text('id');
        const value = read(each);
        return id === undefined ? [] : [[id, value]];
      }),
    );
  return {
    limits: byId(governance.each('rate_limits'), (each) => bifrostLimits(each, false)),
    budgets: byId(governance.each('budgets'), (each) => bifrostBudget(each, false)),
  };
}

function readOwner(fields: Fields, referred: Referred) {
  const id = fields.text('id');
  const name = fields.text('name');
  const own = bifrostQuotas(fields);
  const more = takeReferred(fields, referred);
  const limits = [...own.limits, ...more.limits];
  const budgets = [...own.budgets, ...more.budgets];
  return {
    id,
    name,
    settings: {
      ...(name === undefined ? {} : { name }),
      ...(limits.length > 0 ? { limits } : {}),
      ...(budgets.length > 0 ? { budgets } : {}),
    },
  };
}

function takeReferred(fields: Fields, { limits, budgets }: Referred): Quotas {
  const find = <T>(name: string, among: Map<string, T[]>) => {
    const id = fields.text(name);
    const found = id === undefined ? [] : among.get(id);
    if (!found) fields.note(name, 'names nothing in this file');
    return found ?? [];
  };
  return { limits: find('rate_limit_id', limits), budgets: find('budget_id', budgets) };
}

function takeTeam(fields: Fields, { referred, customers, ownerOf, teams }: Book): void {
  const customer = ownerOf(fields.text('customer_id'));
  const { id, name, settings } = readOwner(fields, referred);
  const { teams: its = {}, ...rest } = customers[customer]!;
  const team = freeName(name ?? id ?? 'team', (taken) => Object.hasOwn(its, taken));
  customers[customer] = { ...rest, teams: { ...its, [team]: settings } };
  for (const known of [id, name]) if (known !== undefined) teams.set(known, { customer, team });
  fields.end();
}

function takeKey(fields: Fields, options: Options, { referred, customers, ownerOf, teams }: Book): void {
  const more = takeReferred(fields, referred);
  const key = bifrostKey(fields, options);
  const place = key.team === undefined ? undefined : teams.get(key.team);
  if (key.team !== undefined && !place) fields.note('team_id', 'names no team of this file');
  const owner = customers[place?.customer ?? ownerOf(key.customer)]!;
  const name = key.settings.name as string | undefined;
  const id = freeName(name ?? key.id ?? 'key', (taken) => owner.keys.some((each) => each.id === taken));
  owner.keys.push({ id, key: secretOf(key, fields), ...withQuotas(key.settings, more), ...teamOf(place) });
}

const teamOf = (place: Place | undefined) => (place ? { team: place.team } : {});

function withQuotas(settings: ForeignKey['settings'], more: Quotas): ForeignKey['settings'] {
  const { limits = [], budgets = [], ...rest } = settings as Partial<Quotas>;
  const [allLimits, allBudgets] = [
    [...limits, ...more.limits],
    [...budgets, ...more.budgets],
  ];
  return {
    ...rest,
    ...(allLimits.length > 0 ? { limits: allLimits } : {}),
    ...(allBudgets.length > 0 ? { budgets: allBudgets } : {}),
  };
}

function secretOf({ secret }: ForeignKey, fields: Fields): string {
  if (secret?.startsWith('env.')) return environmentPlace(secret.slice('env.'.length));
  if (secret === undefined) fields.note('value', 'the key itself is not in this file: set one');
  return secret ?? '';
}
