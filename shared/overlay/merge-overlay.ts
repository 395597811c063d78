import type { CustomerSettings } from '#config/customer-schema.ts';
import type { RouteSettings } from '#config/route-schema.ts';
import type { ProviderSettings, Settings } from '#config/schema.ts';
import { type Merge, type RefusedDocument, refusal } from './document-verdict.ts';
import { mergeCustomer } from './merge-customer.ts';
import { mergeProvider } from './merge-provider.ts';
import { mergeRoute, withServedTargets } from './merge-routes.ts';
import {
  fieldOf,
  type OverlayDocument,
  type OverlayKind,
  overlayKinds,
  ownerOf,
} from './overlay-document.ts';
import type { OverlaySecrets } from './secret-fields.ts';
import { withoutTwinKeys } from './twin-keys.ts';

export interface MergedSettings {
  settings: Settings;
  refused: RefusedDocument[];
}

type MergeOne<T> = (base: T | undefined, id: string, documents: readonly OverlayDocument[]) => Merge<T>;

interface Remembered<T> extends Merge<T> {
  base: T | undefined;
  documents: readonly OverlayDocument[];
}

const kindsOf = {
  customers: ['customers', 'teams', 'virtual-keys'],
  providers: ['providers', 'credentials', 'pools'],
  routes: ['routes'],
} as const satisfies Record<string, readonly OverlayKind[]>;

/** Merges one group of the configuration, each of its entries only when that or its documents have changed. */
class GroupMerger<T> {
  readonly #kinds: readonly OverlayKind[];
  readonly #mergeOne: MergeOne<T>;
  #remembered = new Map<string, Remembered<T>>();

  constructor(kinds: readonly OverlayKind[], mergeOne: MergeOne<T>) {
    this.#kinds = kinds;
    this.#mergeOne = mergeOne;
  }

  merge(base: Readonly<Record<string, T>>, all: readonly OverlayDocument[]) {
    const byOwner = Map.groupBy(this.#inOrder(all), ({ id }) => ownerOf(id));
    const remembered = new Map<string, Remembered<T>>();
    for (const [id, documents] of byOwner) {
      const of = Object.hasOwn(base, id) ? base[id] : undefined;
      const known = this.#remembered.get(id);
      const same = known?.base === of && isSame(known?.documents, documents);
      remembered.set(id, same ? known! : { base: of, documents, ...this.#mergeOne(of, id, documents) });
    }
    this.#remembered = remembered;
    const merged = [...remembered].flatMap(([id, each]) => (each.merged ? [[id, each.merged] as const] : []));
    return {
      merged: merged.length === 0 ? base : { ...base, ...Object.fromEntries(merged) },
      refused: [...remembered.values()].flatMap(({ refused }) => refused),
    };
  }

  /** What others belong to comes before them, whatever order they were written in. */
  #inOrder(all: readonly OverlayDocument[]): OverlayDocument[] {
    return this.#kinds.flatMap((kind) => all.filter((each) => each.kind === kind));
  }
}

function isSame(left: readonly unknown[] | undefined, right: readonly unknown[]): boolean {
  return left?.length === right.length && left.every((each, index) => each === right[index]);
}

/**
 * Lays documents over the settings of the file, field by field: what a document names replaces what the file says, and
 * what only documents name is added. Each result is validated as the file would be; a document that makes it invalid is
 * left out and named. Remembers what it merged, so a changed document costs its own customer or provider.
 */
export class OverlayMerger {
  readonly #customers = new GroupMerger<CustomerSettings>(kindsOf.customers, mergeCustomer);
  readonly #providers: GroupMerger<ProviderSettings>;
  readonly #routes = new GroupMerger<RouteSettings>(kindsOf.routes, mergeRoute);

  constructor(secrets: OverlaySecrets) {
    this.#providers = new GroupMerger(kindsOf.providers, (...of) => mergeProvider(...of, secrets));
  }

  merge(base: Settings, documents: readonly OverlayDocument[]): MergedSettings {
    const customers = this.#customers.merge(base.customers, documents);
    const apart = withoutTwinKeys(customers.merged, documents);
    const providers = this.#providers.merge(base.providers, documents);
    const routes = this.#routes.merge(base.routes, documents);
    const served = withServedTargets(base.routes, routes.merged, providers.merged, documents);
    const settings = {
      ...base,
      customers: apart.customers,
      providers: providers.merged,
      routes: served.routes,
    };
    const unknown = documents
      .filter(({ kind }) => !overlayKinds.includes(kind))
      .map((each) => refusal(each, 'this release does not know its kind'));
    const refused = [customers, apart, providers, routes, served].flatMap((group) => group.refused);
    return { settings, refused: [...refused, ...unknown] };
  }
}

/** The documents with one of them written anew, or taken out. */
export function withDocument(
  documents: readonly OverlayDocument[],
  { kind, id }: Pick<OverlayDocument, 'kind' | 'id'>,
  document: OverlayDocument['document'] | undefined,
): OverlayDocument[] {
  const field = fieldOf(kind, id);
  const others = documents.filter((each) => fieldOf(each.kind, each.id) !== field);
  return document ? [...others, { kind, id, version: 0, document }] : others;
}
