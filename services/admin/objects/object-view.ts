import type { Settings } from '#config/schema.ts';
import { type OverlayDocument, type OverlayKind, ownerOf, partOf } from '#shared/overlay/overlay-document.ts';
import { showDocument } from '#shared/overlay/secret-fields.ts';

/** One thing that can be administered, as it is shown: never with a secret. */
export interface AdminObject {
  object: OverlayKind;
  id: string;
  /** Where it stands: in the configuration file, in what was changed while running, or changed on top of the file. */
  source: 'file' | 'changed' | 'file+changed';
  /** Version of what was changed; 0: only the file speaks of it. */
  version: number;
  /** What was changed, field by field. */
  changed: Record<string, unknown>;
  /** What holds. */
  settings: Record<string, unknown>;
}

type Fields = Record<string, unknown>;

const without = (fields: object, ...names: string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

const own = <T>(record: Record<string, T>, name: string): T | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;

const shownOfKey = { start: 10, end: 4, leastLength: 24 };

/** A key of the file, known again by how it begins and ends when that does not tell it. */
function showKey({ key, hash: _hash, ...rest }: Fields): Fields {
  if (typeof key !== 'string' || key.length < shownOfKey.leastLength) return rest;
  return { prefix: key.slice(0, shownOfKey.start), last_four: key.slice(-shownOfKey.end), ...rest };
}

/** The settings of one thing without what belongs to it and is a thing of its own, and without secrets. */
const readers: Record<OverlayKind, (settings: Settings, id: string) => Fields | undefined> = {
  customers: ({ customers }, id) => {
    const found = own(customers, id);
    return found && without(found, 'keys', 'teams');
  },
  teams: ({ customers }, id) => own(own(customers, ownerOf(id))?.teams ?? {}, partOf(id)),
  'virtual-keys': ({ customers }, id) => {
    const found = own(customers, ownerOf(id))?.keys.find((key) => key.id === partOf(id));
    return found && showKey(without(found, 'id'));
  },
  providers: ({ providers }, id) => {
    const found = own(providers, id);
    return found && without(found, 'credentials', 'pools');
  },
  credentials: ({ providers }, id) => {
    const found = own(providers, ownerOf(id))?.credentials.find((each) => each.id === partOf(id));
    return found && showDocument('credentials', without(found, 'id'));
  },
  pools: ({ providers }, id) => own(own(providers, ownerOf(id))?.pools ?? {}, partOf(id)),
  routes: ({ routes }, id) => own(routes, id),
};

export const settingsOf = (kind: OverlayKind, settings: Settings, id: string): Fields | undefined =>
  readers[kind](settings, id);

/** Ids of all things of a kind, in their order. */
export function idsOf(kind: OverlayKind, { customers, providers, routes }: Settings): string[] {
  const below = <T>(owners: Record<string, T>, parts: (owner: T) => string[]) =>
    Object.entries(owners).flatMap(([name, owner]) => parts(owner).map((part) => `${name}/${part}`));
  const lists: Record<OverlayKind, () => string[]> = {
    customers: () => Object.keys(customers),
    teams: () => below(customers, ({ teams }) => Object.keys(teams)),
    'virtual-keys': () => below(customers, ({ keys }) => keys.map(({ id }) => id)),
    providers: () => Object.keys(providers),
    credentials: () => below(providers, ({ credentials }) => credentials.map(({ id }) => id)),
    pools: () => below(providers, ({ pools }) => Object.keys(pools)),
    routes: () => Object.keys(routes),
  };
  return lists[kind]().toSorted();
}

/** The thing as it is shown; undefined when there is none. `file`: the settings without what was changed. */
export function viewObject(
  kind: OverlayKind,
  id: string,
  { settings, file }: { settings: Settings; file: Settings },
  document: OverlayDocument | undefined,
): AdminObject | undefined {
  const holds = settingsOf(kind, settings, id);
  if (holds === undefined) return undefined;
  const inFile = settingsOf(kind, file, id) !== undefined;
  const changed = document === undefined ? {} : showDocument(kind, openFields(document.document));
  return {
    object: kind,
    id,
    source: document === undefined ? 'file' : inFile ? 'file+changed' : 'changed',
    version: document?.version ?? 0,
    changed,
    settings: holds,
  };
}

/** Sealed fields by their names, for what is masked anyway. */
function openFields({ sealed, ...open }: OverlayDocument['document']): Fields {
  const names = Object.keys((sealed ?? {}) as Fields);
  return { ...open, ...Object.fromEntries(names.map((name) => [name, ''])) };
}
