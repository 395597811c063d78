import type { Settings } from '#config/schema.ts';
import { type RefusedDocument, refusal } from './document-verdict.ts';
import { type OverlayDocument, ownerOf, partOf } from './overlay-document.ts';

type Customers = Settings['customers'];

/** One that is not written yet comes after all others. */
const ageOf = ({ version }: OverlayDocument) => version || Number.POSITIVE_INFINITY;

/**
 * Leaves out virtual keys that have the hash of another one: whoever holds it would act, and pay, for somebody else. What
 * the file says holds before what was changed, and of changes the one that was written first.
 */
export function withoutTwinKeys(
  customers: Customers,
  documents: readonly OverlayDocument[],
): { customers: Customers; refused: RefusedDocument[] } {
  const changed = documents.filter(({ kind }) => kind === 'virtual-keys');
  if (changed.length === 0) return { customers, refused: [] };
  const names = new Set(changed.map(({ id }) => id));
  const hashes = new Map<string, string>();
  const holders = new Map<string, string>();
  for (const [tenant, { keys }] of Object.entries(customers)) {
    for (const { id, hash } of keys) {
      if (hash === undefined) continue;
      const name = `${tenant}/${id}`;
      if (names.has(name)) hashes.set(name, hash);
      else holders.set(hash, name);
    }
  }
  const refused: RefusedDocument[] = [];
  for (const document of changed.toSorted((one, other) => ageOf(one) - ageOf(other))) {
    const hash = hashes.get(document.id);
    if (hash === undefined) continue;
    const holder = holders.get(hash);
    if (holder === undefined) holders.set(hash, document.id);
    else refused.push(refusal(document, `hash: the virtual key ${holder} has the same one`));
  }
  return { customers: without(customers, refused), refused };
}

function without(customers: Customers, refused: readonly RefusedDocument[]): Customers {
  const left = { ...customers };
  for (const { id } of refused) {
    const customer = left[ownerOf(id)]!;
    left[ownerOf(id)] = { ...customer, keys: customer.keys.filter((key) => key.id !== partOf(id)) };
  }
  return refused.length === 0 ? customers : left;
}
