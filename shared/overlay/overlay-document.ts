/** What can be changed while processes run. */
export const overlayKinds = [
  'customers',
  'teams',
  'virtual-keys',
  'providers',
  'credentials',
  'pools',
  'routes',
] as const;
export type OverlayKind = (typeof overlayKinds)[number];

/**
 * One thing that was changed while processes ran: settings of the configuration, field by field over those of the file.
 * Ids of what belongs to something else begin with its id: `teams`, `virtual-keys`: `<customer>/<id>`; `pools`,
 * `credentials`: `<provider>/<id>`.
 */
export interface OverlayDocument {
  kind: OverlayKind;
  id: string;
  /** Version of all documents together in which this one was last written. */
  version: number;
  document: Readonly<Record<string, unknown>>;
}

export const fieldOf = (kind: OverlayKind, id: string) => `${kind}/${id}`;

export function splitField(field: string): { kind: OverlayKind; id: string } {
  const slash = field.indexOf('/');
  // A kind that only a newer release knows is told apart where it is merged.
  return { kind: field.slice(0, slash) as OverlayKind, id: field.slice(slash + 1) };
}

/** To whom of its group a document belongs: the first part of its id. */
export const ownerOf = (id: string) => id.split('/', 1)[0]!;
/** What it is called there. */
export const partOf = (id: string) => id.slice(ownerOf(id).length + 1);
