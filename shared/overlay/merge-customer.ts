import {
  type CustomerSettings,
  customerSchema,
  type KeySettings,
  keySchema,
  teamSchema,
} from '#config/customer-schema.ts';
import { type Merge, partsOf, reasonOf, refusal } from './document-verdict.ts';
import type { OverlayDocument } from './overlay-document.ts';

interface Growing {
  customer: CustomerSettings;
  keys: Map<string, KeySettings>;
}

/** A customer of the file, or a new one, with the documents of itself, its teams and its keys. */
export function mergeCustomer(
  base: CustomerSettings | undefined,
  customer: string,
  documents: readonly OverlayDocument[],
): Merge<CustomerSettings> {
  const refused: Merge<CustomerSettings>['refused'] = [];
  let growing = base && grow(base);
  for (const document of documents) {
    const next = withDocument(growing, document, customer);
    if (typeof next === 'string') refused.push(refusal(document, next));
    else growing = next;
  }
  return { merged: growing && { ...growing.customer, keys: [...growing.keys.values()] }, refused };
}

const grow = (customer: CustomerSettings): Growing => ({
  customer,
  keys: new Map(customer.keys.map((key) => [key.id, key])),
});

/** The customer as the document wants it, or why it cannot be. */
function withDocument(
  growing: Growing | undefined,
  document: OverlayDocument,
  customer: string,
): Growing | string {
  if (document.kind === 'customers') return withCustomer(growing, document);
  const [, part] = partsOf(document.id, 2) ?? [];
  if (part === undefined) return 'its id is not <customer>/<name>';
  if (!growing) return `there is no customer ${customer}`;
  return document.kind === 'teams'
    ? withTeam(growing, part, document.document)
    : withKey(growing, part, document.document);
}

function withCustomer(growing: Growing | undefined, { id, document }: OverlayDocument): Growing | string {
  if (partsOf(id, 1) === undefined) return 'its id is not a name';
  if ('keys' in document || 'teams' in document) return 'teams and keys are documents of their own';
  const fields = { ...growing?.customer, ...document, keys: [], teams: {} };
  const parsed = customerSchema.safeParse(fields);
  if (!parsed.success) return reasonOf(parsed.error);
  const teams = growing?.customer.teams ?? {};
  return { customer: { ...parsed.data, teams }, keys: growing?.keys ?? new Map() };
}

function withTeam(growing: Growing, id: string, document: OverlayDocument['document']): Growing | string {
  const { teams } = growing.customer;
  const parsed = teamSchema.safeParse({ ...(Object.hasOwn(teams, id) ? teams[id] : {}), ...document });
  if (!parsed.success) return reasonOf(parsed.error);
  return { ...growing, customer: { ...growing.customer, teams: { ...teams, [id]: parsed.data } } };
}

/** Keys are grown in place: there may be very many. */
function withKey(growing: Growing, id: string, document: OverlayDocument['document']): Growing | string {
  const known = growing.keys.get(id);
  const parsed = known ? keySchema.safeParse({ ...known, ...document, id }) : parseNewKey(id, document);
  if (!parsed.success) return reasonOf(parsed.error);
  const { team, key, hash } = parsed.data;
  if (team !== undefined && !Object.hasOwn(growing.customer.teams, team)) return `there is no team ${team}`;
  if (key !== '' && key !== known?.key) return 'key: give its hash; keys are not kept';
  if (key === '' && hash === undefined) return 'hash: a key needs one';
  growing.keys.set(id, parsed.data);
  return growing;
}

type ParsedKey = ReturnType<typeof keySchema.safeParse>;
const parsedKeys = new WeakMap<OverlayDocument['document'], ParsedKey>();

/** Remembered for as long as the document lives, so that one key changed among thousands costs one key. */
function parseNewKey(id: string, document: OverlayDocument['document']): ParsedKey {
  const parsed = parsedKeys.get(document) ?? keySchema.safeParse({ ...document, id });
  parsedKeys.set(document, parsed);
  return parsed;
}
