import type { FastifyInstance, FastifyRequest } from 'fastify';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { OverlayKind } from '#shared/overlay/overlay-document.ts';
import { ownerOf } from '#shared/overlay/overlay-document.ts';
import { bifrostKey } from '#shared/peers/bifrost-key.ts';
import { bifrostQuotas } from '#shared/peers/bifrost-quotas.ts';
import { Fields, type Note } from '#shared/peers/fields.ts';
import { freeName } from '#shared/peers/names.ts';
import type { KeyMaker } from '../key-maker.ts';
import type { AdminObjects } from '../objects/admin-objects.ts';
import { makeKey } from '../objects/make-key.ts';
import type { AdminObject } from '../objects/object-view.ts';
import { guarded } from '../plugins/authenticate-admin.ts';
import { operatorOf } from '../preconditions.ts';
import { settingsBody } from '../routes/objects.ts';
import { customerOf, nobodys, teamOf } from './owners.ts';
import { bifrostQuotaShape } from './quota-shape.ts';

interface Parts {
  objects: AdminObjects;
  keys: KeyMaker;
}

/** One kind of things of Bifrost's governance: its path, its names in answers, and ours. */
interface Kind {
  path: string;
  one: string;
  many: string;
  title: string;
  kind: OverlayKind;
  create: (parts: Parts, body: Fields, who: string) => Promise<{ made: AdminObject; more?: object }>;
  change: (parts: Parts, id: string, body: Fields) => Promise<Record<string, unknown>>;
}

const kinds: readonly Kind[] = [
  {
    path: 'virtual-keys',
    one: 'virtual_key',
    many: 'virtual_keys',
    title: 'Virtual key',
    kind: 'virtual-keys',
    create: createKey,
    change: changeKey,
  },
  {
    path: 'teams',
    one: 'team',
    many: 'teams',
    title: 'Team',
    kind: 'teams',
    create: createTeam,
    change: async (_parts, _id, body) => ownerFields(body, ['customer_id']),
  },
  {
    path: 'customers',
    one: 'customer',
    many: 'customers',
    title: 'Customer',
    kind: 'customers',
    create: createCustomer,
    change: async (_parts, _id, body) => ownerFields(body, []),
  },
];

const listMax = 1_000;
const idOf = (request: FastifyRequest) => (request.params as { '*': string })['*'];

/**
 * Bifrost's governance API over the same things. Ids are ours (`<customer>/<name>` of teams and keys). Fields without a
 * counterpart are accepted, and listed in `sluice.notes` of the answer.
 */
export function bifrostRoutes(app: FastifyInstance, parts: Parts): void {
  for (const kind of kinds) {
    const path = `/api/governance/${kind.path}`;
    const schema = guarded('bifrost');
    const withBody = { ...schema, body: settingsBody };
    app.get(path, { schema }, async () => {
      const { objects } = await parts.objects.list(kind.kind, { limit: listMax });
      const all = { count: objects.length, total_count: objects.length, limit: objects.length, offset: 0 };
      return { [kind.many]: objects.map((each) => shapeOf(each)), ...all };
    });
    app.get(`${path}/*`, { schema }, async (request) => ({
      [kind.one]: shapeOf(await parts.objects.read(kind.kind, idOf(request))),
    }));
    app.post(path, { schema: withBody }, async (request) => {
      const notes: Note[] = [];
      const body = new Fields(request.body, '', notes);
      const { made, more } = await kind.create(parts, body, operatorOf(request));
      const message = `${kind.title} created successfully`;
      return { message, [kind.one]: { ...shapeOf(made), ...more }, sluice: { notes } };
    });
    app.put(`${path}/*`, { schema: withBody }, async (request) => {
      const notes: Note[] = [];
      const id = idOf(request);
      const fields = await kind.change(parts, id, new Fields(request.body, '', notes));
      const made = await parts.objects.patch({ kind: kind.kind, id, who: operatorOf(request) }, fields);
      return { message: `${kind.title} updated successfully`, [kind.one]: shapeOf(made), sluice: { notes } };
    });
    app.delete(`${path}/*`, { schema }, async (request) => {
      await parts.objects.remove({ kind: kind.kind, id: idOf(request), who: operatorOf(request) });
      return { message: `${kind.title} deleted successfully` };
    });
  }
}

async function createKey({ objects, keys }: Parts, body: Fields, who: string) {
  const { settings, team, customer, secret } = bifrostKey(body, { emptyAllowsAll: false });
  if (team !== undefined && customer !== undefined)
    throw invalid('customer_id', 'a key belongs to a team or to a customer, not to both');
  const place = team === undefined ? undefined : await teamOf(objects, team);
  const owner = place?.customer ?? (await customerOf(objects, who, customer));
  const { name, ...fields } = settings;
  if (typeof name !== 'string') throw invalid('name', 'is missing');
  const wanted = { ...fields, ...(place ? { team: place.team } : {}) };
  const made = await makeKey(objects, keys, who, { customer: owner, name, secret, fields: wanted });
  return { made: made.made, more: { value: made.secret } };
}

async function changeKey({ objects }: Parts, id: string, body: Fields) {
  const found = await objects.read('virtual-keys', id);
  const said = {
    limits: body.has('rate_limit'),
    budgets: body.has('budget') || body.has('budgets'),
    providers: body.has('provider_configs'),
  };
  const { settings, team, customer, secret } = bifrostKey(body, { emptyAllowsAll: false });
  if (secret !== undefined) body.note('value', 'a key stays as it is: make another one');
  const place = team === undefined ? undefined : await teamOf(objects, team);
  const owner = place?.customer ?? customer ?? ownerOf(id);
  if (owner !== ownerOf(id)) throw invalid('customer_id', 'a key cannot go to another customer');
  return {
    ...settings,
    ...keptQuotas(found.settings, settings, said),
    ...(place ? { team: place.team } : {}),
  };
}

/** What a body does not speak of stays: the limits of the key, or those of its providers. */
function keptQuotas(
  present: Record<string, unknown>,
  given: Record<string, unknown>,
  said: { limits: boolean; budgets: boolean; providers: boolean },
): Record<string, unknown> {
  const ofProvider = (quota: object) => 'provider' in ((quota as { match?: object }).match ?? {});
  const fields = (['limits', 'budgets'] as const).filter((field) => given[field] !== undefined);
  return Object.fromEntries(
    fields.map((field) => {
      const kept = ((present[field] ?? []) as object[]).filter((quota) =>
        ofProvider(quota) ? !said.providers : !said[field],
      );
      return [field, [...(given[field] as object[]), ...kept]];
    }),
  );
}

async function createTeam({ objects }: Parts, body: Fields, who: string) {
  const customer = await customerOf(objects, who, body.text('customer_id'));
  const fields = ownerFields(body, []);
  const { customers } = await objects.settings();
  const teams = customers[customer]!.teams;
  const name = freeName(nameOf(fields), (taken) => Object.hasOwn(teams, taken), 'team');
  const change = { kind: 'teams', id: `${customer}/${name}`, who } as const;
  return { made: await objects.create(change, fields) };
}

async function createCustomer({ objects }: Parts, body: Fields, who: string) {
  const fields = ownerFields(body, []);
  const { customers } = await objects.settings();
  const id = freeName(nameOf(fields), (taken) => Object.hasOwn(customers, taken), 'customer');
  return { made: await objects.create({ kind: 'customers', id, who }, fields) };
}

/** Name, limits and budgets of a team or a customer. */
function ownerFields(body: Fields, unchangeable: readonly string[]): Record<string, unknown> {
  const name = body.text('name');
  const saysLimits = body.has('rate_limit');
  const saysBudgets = body.has('budget') || body.has('budgets');
  const { limits, budgets } = bifrostQuotas(body);
  for (const field of unchangeable) body.leave(field, 'cannot be changed: make another one');
  body.end();
  return {
    ...(name === undefined ? {} : { name }),
    ...(saysLimits ? { limits } : {}),
    ...(saysBudgets ? { budgets } : {}),
  };
}

function nameOf({ name }: Record<string, unknown>): string {
  if (typeof name !== 'string') throw invalid('name', 'is missing');
  return name;
}

const invalid = (param: string, what: string) =>
  new SluiceError('invalid_request', { fields: { reason: `${param}: ${what}` }, param });

/** A thing of ours as Bifrost writes it. */
function shapeOf({ object, id, settings }: AdminObject): Record<string, unknown> {
  const common = { id, name: settings.name ?? id.split('/').at(-1), ...bifrostQuotaShape(settings) };
  if (object === 'customers') return common;
  const customer = ownerOf(id) === nobodys ? null : ownerOf(id);
  if (object === 'teams') return { ...common, customer_id: customer };
  const { team, provider_configs, allowed_providers, prefix = '', last_four = '' } = settings;
  const configs = provider_configs as { provider: string; weight?: number; allowed_models?: string[] }[];
  return {
    ...common,
    value: `${String(prefix)}…${String(last_four)}`,
    team_id: team === undefined ? null : `${ownerOf(id)}/${team as string}`,
    customer_id: team === undefined ? customer : null,
    is_active: settings.is_active ?? true,
    expires_at: settings.expires_at ?? null,
    allow_all_providers: configs === undefined && allowed_providers === undefined,
    provider_configs: (configs ?? []).map(({ provider, weight, allowed_models }) => ({
      provider,
      weight: weight ?? 1,
      allowed_models: allowed_models ?? ['*'],
      key_ids: ['*'],
      ...bifrostQuotaShape(settings, provider),
    })),
  };
}
