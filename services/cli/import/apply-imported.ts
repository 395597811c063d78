import type { Note } from '#shared/peers/fields.ts';
import type { AdminClient, AdminKind } from '../admin-client.ts';
import { usageError } from '../cli-error.ts';
import type { Imported } from './imported.ts';

interface Thing {
  kind: AdminKind;
  id: string;
  body: Record<string, unknown>;
}

/** Each kind after those it refers to. */
const kinds = ['providers', 'credentials', 'pools', 'customers', 'teams', 'virtual-keys', 'routes'] as const;

/**
 * Puts an imported configuration into a running Sluice. What is there already under the same names is replaced only when
 * that is asked for; otherwise nothing is put in at all. Secrets that only the environment knows are read from it.
 *
 * @throws CliError
 */
export async function applyImported(
  admin: AdminClient,
  configuration: Imported['configuration'],
  replace: boolean,
  fillText: (text: string) => string,
): Promise<{ things: string[]; notes: Note[] }> {
  const notes: Note[] = [];
  const things = thingsOf(configuration, fillText, notes);
  const present = new Set<string>();
  for (const kind of kinds) for (const { id } of await admin.list(kind)) present.add(`${kind}/${id}`);
  const nameOf = ({ kind, id }: Thing) => `${kind}/${id}`;
  const taken = things.filter((thing) => present.has(nameOf(thing)));
  if (taken.length > 0 && !replace)
    throw usageError(
      `These are there already: ${taken.map(nameOf).join(', ')}.`,
      'Add --replace to replace them.',
    );
  for (const thing of things) await put(admin, thing, present.has(nameOf(thing)));
  return { things: things.map(nameOf), notes };
}

async function put(admin: AdminClient, { kind, id, body }: Thing, isPresent: boolean): Promise<void> {
  if (kind !== 'virtual-keys') return void (await admin.replace(kind, id, body));
  const [customer, name] = id.split('/');
  const { key, ...fields } = body;
  if (isPresent) await admin.patch(kind, id, fields);
  else await admin.createKey({ customer, id: name, key, ...fields });
}

function thingsOf(
  { providers, customers, routes }: Imported['configuration'],
  fillText: (text: string) => string,
  notes: Note[],
): Thing[] {
  const things: Thing[] = [];
  const add = (kind: AdminKind, id: string, body: object) => things.push({ kind, id, body: { ...body } });
  const secretOf = (text: string, path: string) => {
    const secret = fillText(text);
    // Of parts that are joined, each must be there.
    const isWhole = secret !== '' && !/^:|:$|::/.test(secret);
    if (!isWhole) notes.push({ path, reason: 'its secret is not in the environment; it is left out' });
    return isWhole ? secret : undefined;
  };
  for (const [provider, { credentials, pools, ...rest }] of Object.entries(providers)) {
    add('providers', provider, rest);
    for (const { id, api_key, ...more } of credentials) {
      const secret = secretOf(api_key, `credentials/${provider}/${id}`);
      if (secret !== undefined) add('credentials', `${provider}/${id}`, { ...more, api_key: secret });
    }
    for (const [pool, settings] of Object.entries(pools)) add('pools', `${provider}/${pool}`, settings);
  }
  for (const [customer, { keys, teams = {}, ...rest }] of Object.entries(customers)) {
    add('customers', customer, rest);
    for (const [team, settings] of Object.entries(teams)) add('teams', `${customer}/${team}`, settings);
    for (const { id, key, ...more } of keys) {
      const secret = secretOf(key, `virtual-keys/${customer}/${id}`);
      if (secret !== undefined) add('virtual-keys', `${customer}/${id}`, { ...more, key: secret });
    }
  }
  for (const [route, settings] of Object.entries(routes)) add('routes', route, settings);
  return things.toSorted((left, right) => orderOf(left) - orderOf(right));
}

const orderOf = ({ kind }: Thing) => (kinds as readonly string[]).indexOf(kind);
