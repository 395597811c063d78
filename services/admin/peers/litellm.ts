import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { SluiceError } from '#shared/kernel/errors.ts';
import { ownerOf } from '#shared/overlay/overlay-document.ts';
import { Fields, type Note } from '#shared/peers/fields.ts';
import { type LitellmEntity, litellmEntity } from '#shared/peers/litellm-key.ts';
import { nameFrom } from '#shared/peers/names.ts';
import type { AdminParts } from '../admin-parts.ts';
import type { AdminObjects } from '../objects/admin-objects.ts';
import { makeKey } from '../objects/make-key.ts';
import type { AdminObject } from '../objects/object-view.ts';
import { guarded } from '../plugins/authenticate-admin.ts';
import { operatorOf } from '../preconditions.ts';
import { settingsBody } from '../routes/objects.ts';
import { customerOf, nobodys, teamOf } from './owners.ts';
import { beyondLitellm, litellmQuotaShape, withoutTwins } from './quota-shape.ts';
import { spendOfKeys } from './spend.ts';

type Parts = Pick<AdminParts, 'objects' | 'keys' | 'clock' | 'redis' | 'settings'>;

const deleteBody = z
  .looseObject({
    keys: z.array(z.string()).max(1_000).optional(),
    key_aliases: z.array(z.string()).max(1_000).optional(),
  })
  .meta({ id: 'LitellmKeyDelete' });
const infoQuery = z.object({ key: z.string() });
/** As LiteLLM pages; other parameters of its are ignored. */
const listQuery = z.object({
  page: z.coerce.number().int().min(1).max(1_000_000).default(1),
  size: z.coerce.number().int().min(1).max(100).default(10),
  user_id: z.string().optional().describe('Only keys of this customer.'),
  team_id: z.string().optional().describe('Only keys of this team.'),
  return_full_object: z.enum(['true', 'false']).default('false'),
});

/**
 * LiteLLM's key management over the same things: its teams are teams, its users customers. Keys are named by
 * themselves, or by the `token_id` that answers tell. Fields without a counterpart are listed in `sluice.notes`.
 */
export function litellmRoutes(app: FastifyInstance, parts: Parts): void {
  const schema = { ...guarded('litellm'), body: settingsBody };
  const { objects, clock } = parts;
  const read = (body: unknown, what: 'key' | 'team' | 'user') => {
    const notes: Note[] = [];
    const fields = new Fields(body, '', notes);
    return { fields, notes, entity: litellmEntity(fields, what, clock.nowMs()) };
  };
  app.post('/key/generate', { schema }, async (request) => {
    const secret = textOf(request.body, 'key');
    const { entity, notes } = read(request.body, 'key');
    const answer = await generateKey(parts, entity, operatorOf(request), secret);
    return { ...answer, sluice: { notes } };
  });
  app.post('/key/update', { schema }, async (request) => {
    const found = await findKey(parts, textOf(request.body, 'key') ?? '');
    const { entity, notes } = read(withPresent(found, request.body), 'key');
    const change = { kind: 'virtual-keys', id: found.id, who: operatorOf(request) } as const;
    const team = entity.teamId === undefined ? undefined : await teamOf(objects, entity.teamId);
    if (team && team.customer !== ownerOf(found.id))
      throw invalid('team_id', 'a key cannot go to another customer');
    const changed = await objects.patch(change, {
      ...nullsOf(request.body),
      ...entity.settings,
      ...keepOthers(found, entity.settings),
      ...(team ? { team: team.team } : {}),
    });
    const [shown] = await withSpend(parts, [changed]);
    return { key: textOf(request.body, 'key'), ...shown, sluice: { notes } };
  });
  app.post('/key/delete', { schema: { ...guarded('litellm'), body: deleteBody } }, async (request) => {
    const { keys = [], key_aliases = [] } = request.body as z.output<typeof deleteBody>;
    const found = await Promise.all([...keys, ...key_aliases].map((given) => findKey(parts, given)));
    for (const { id } of found) await objects.remove({ kind: 'virtual-keys', id, who: operatorOf(request) });
    return { deleted_keys: [...keys, ...key_aliases] };
  });
  app.get('/key/info', { schema: { ...guarded('litellm'), querystring: infoQuery } }, async (request) => {
    const { key } = request.query as z.output<typeof infoQuery>;
    const found = await findKey(parts, key);
    const [info] = await withSpend(parts, [found]);
    return { key: found.id, info };
  });
  app.get('/key/list', { schema: { ...guarded('litellm'), querystring: listQuery } }, async (request) => {
    const { page, size, return_full_object: isFull } = request.query as z.output<typeof listQuery>;
    const { found, total } = await pageOfKeys(objects, request.query as z.output<typeof listQuery>);
    return {
      keys: isFull === 'true' ? await withSpend(parts, found) : found.map(({ id }) => id),
      total_count: total,
      current_page: page,
      total_pages: Math.ceil(total / size),
    };
  });
  app.post('/team/new', { schema }, async (request) => {
    const { entity, notes } = read(request.body, 'team');
    const customer = await customerOf(objects, operatorOf(request));
    const id = `${customer}/${nameFrom(entity.teamId ?? entity.alias ?? 'team', 'team')}`;
    const made = await objects.create({ kind: 'teams', id, who: operatorOf(request) }, entity.settings);
    return { ...teamShape(made), sluice: { notes } };
  });
  app.post('/user/new', { schema }, async (request) => {
    const { entity, notes } = read(request.body, 'user');
    const answer = await newUser(parts, entity, operatorOf(request), request.body);
    return { ...answer, sluice: { notes } };
  });
}

async function generateKey(
  { objects, keys }: Parts,
  { settings, teamId, userId, alias }: LitellmEntity,
  who: string,
  secret: string | undefined,
) {
  const place = teamId === undefined ? undefined : await teamOf(objects, teamId);
  const { customers } = await objects.settings();
  const isUser = userId !== undefined && Object.hasOwn(customers, userId);
  const customer = place?.customer ?? (await customerOf(objects, who, isUser ? userId : undefined));
  const fields = { ...settings, ...(place ? { team: place.team } : {}) };
  const { made, secret: key } = await makeKey(objects, keys, who, { customer, name: alias, secret, fields });
  return { key, ...keyShape(made) };
}

/** A user of theirs is a customer of ours, with a key unless the body says otherwise. */
async function newUser(parts: Parts, entity: LitellmEntity, who: string, body: unknown) {
  const { userId, alias, settings } = entity;
  const id = nameFrom(userId ?? alias ?? '', '');
  if (id === '') throw invalid('user_id', 'is missing');
  const made = await parts.objects.create({ kind: 'customers', id, who }, settings);
  const wantsKey = (body as { auto_create_key?: unknown }).auto_create_key !== false;
  const key = wantsKey
    ? (await makeKey(parts.objects, parts.keys, who, { customer: id, name: 'user', fields: {} })).secret
    : null;
  return {
    user_id: made.id,
    key,
    models: made.settings.allowed_models ?? [],
    ...litellmQuotaShape(made.settings),
  };
}

/** A key by itself, by its id or by its alias. @throws SluiceError object_not_found */
async function findKey({ objects, keys }: Parts, given: string): Promise<AdminObject> {
  const { customers } = await objects.settings();
  const isKey = keys.isKey(given);
  const all = Object.entries(customers).flatMap(([customer, each]) =>
    each.keys.map((key) => ({ id: `${customer}/${key.id}`, key })),
  );
  const exact = all.find(({ id, key }) => id === given || isKey(key));
  const named = all.filter(({ key }) => key.name === given);
  const found = exact ?? (named.length === 1 ? named[0] : undefined);
  // What was given may be a key: it is not repeated.
  if (!found)
    throw new SluiceError('object_not_found', { fields: { kind: 'virtual-keys', id: '…' }, param: 'key' });
  return objects.read('virtual-keys', found.id);
}

async function pageOfKeys(
  objects: AdminObjects,
  { page, size, user_id, team_id }: z.output<typeof listQuery>,
): Promise<{ found: AdminObject[]; total: number }> {
  const { customers } = await objects.settings();
  const ids = Object.entries(customers).flatMap(([customer, { keys }]) =>
    keys.flatMap(({ id, team }) => {
      if (user_id !== undefined && user_id !== customer) return [];
      return team_id !== undefined && team_id !== `${customer}/${team}` ? [] : [`${customer}/${id}`];
    }),
  );
  const found = ids.slice((page - 1) * size, page * size).map((id) => objects.read('virtual-keys', id));
  return { found: await Promise.all(found), total: ids.length };
}

/** Keys as LiteLLM shows them, with what they have spent. */
async function withSpend(parts: Parts, found: readonly AdminObject[]): Promise<Record<string, unknown>[]> {
  const { customers } = await parts.objects.settings();
  const spend = await spendOfKeys(
    parts,
    customers,
    found.map(({ id }) => id),
  );
  return found.map((each, index) => ({ ...keyShape(each), spend: spend[index] }));
}

/** A key that is new has spent nothing. */
function keyShape({ id, settings }: AdminObject): Record<string, unknown> {
  const { team, name, allowed_models, expires_at, is_active, prefix = '', last_four = '' } = settings;
  const customer = ownerOf(id);
  return {
    key_alias: name ?? null,
    key_name: `${String(prefix)}…${String(last_four)}`,
    token: id,
    token_id: id,
    expires: expires_at ?? null,
    models: allowed_models ?? [],
    spend: 0,
    user_id: customer === nobodys ? null : customer,
    team_id: team === undefined ? null : `${customer}/${team as string}`,
    ...litellmQuotaShape(settings),
    blocked: is_active === false,
    metadata: {},
  };
}

const teamShape = ({ id, settings }: AdminObject) => ({
  team_id: id,
  team_alias: settings.name ?? null,
  models: settings.allowed_models ?? [],
  spend: 0,
  ...litellmQuotaShape(settings),
  metadata: {},
});

const limitFields = ['tpm_limit', 'rpm_limit', 'max_parallel_requests'];
const budgetFields = ['max_budget', 'budget_duration'];

/** A change of one limit leaves the others as they are; ours are written together. */
function withPresent({ settings }: AdminObject, body: unknown): Record<string, unknown> {
  const given = (body ?? {}) as Record<string, unknown>;
  const present = litellmQuotaShape(settings);
  const groups = [limitFields, budgetFields].filter((names) => names.some((name) => name in given));
  const kept = groups.flat().map((name) => [name, present[name]]);
  return { ...Object.fromEntries(kept), ...given };
}

/** Limits and budgets that LiteLLM has no words for stay. */
function keepOthers({ settings }: AdminObject, changed: Record<string, unknown>): Record<string, unknown> {
  const others = beyondLitellm(settings);
  const fields = (['limits', 'budgets'] as const).filter((field) => changed[field] !== undefined);
  return Object.fromEntries(
    fields.map((field) => [field, withoutTwins([...(changed[field] as object[]), ...others[field]])]),
  );
}

/** Fields that are set to null take ours back to what they are by themselves. */
function nullsOf(body: unknown): Record<string, null> {
  const given = (body ?? {}) as Record<string, unknown>;
  const ours = { duration: 'expires_at', expires: 'expires_at', key_alias: 'name', team_id: 'team' };
  const taken = Object.entries(ours).filter(([theirs]) => given[theirs] === null);
  return Object.fromEntries(taken.map(([, field]) => [field, null]));
}

function textOf(body: unknown, field: string): string | undefined {
  const value = ((body ?? {}) as Record<string, unknown>)[field];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

const invalid = (param: string, what: string) =>
  new SluiceError('invalid_request', { fields: { reason: `${param}: ${what}` }, param });
