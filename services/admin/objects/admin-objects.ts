import type { Settings } from '#config/schema.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { OverlayMerger } from '#shared/overlay/merge-overlay.ts';
import { type OverlayDocument, type OverlayKind, ownerOf } from '#shared/overlay/overlay-document.ts';
import { OverlayEditor } from '#shared/overlay/overlay-editor.ts';
import type { OverlayStore } from '#shared/overlay/overlay-store.ts';
import { type OverlaySecrets, openCredential } from '#shared/overlay/secret-fields.ts';
import { type AdminObject, idsOf, viewObject } from './object-view.ts';

type Fields = Record<string, unknown>;

/** Which version a change expects: a number, any that exists, or none at all. Unset: whatever is there. */
export type Precondition = number | 'exists' | 'absent' | undefined;

export interface ObjectChange {
  kind: OverlayKind;
  id: string;
  /** Who makes the change, for the audit. */
  who: string;
  precondition?: Precondition;
}

export interface ObjectsOptions {
  store: OverlayStore;
  /** The settings of the file. */
  base: () => Settings;
  secrets: OverlaySecrets;
}

/** How often a change that names no version is made anew because another one came between. */
const triesMax = 5;

interface View {
  file: Settings;
  settings: Settings;
  documents: readonly OverlayDocument[];
}

/**
 * All things that can be administered: those of the configuration file and those that were made while running. A change
 * of a thing of the file is a document laid over it; taking that out brings back what the file says.
 */
export class AdminObjects {
  readonly #options: ObjectsOptions;
  readonly #editor: OverlayEditor;
  readonly #merger: OverlayMerger;

  constructor(options: ObjectsOptions) {
    this.#options = options;
    this.#editor = new OverlayEditor(options.store, options.base, options.secrets);
    this.#merger = new OverlayMerger(options.secrets);
  }

  /** The settings with everything that was changed, as of now. @throws SluiceError store_unavailable */
  async settings(): Promise<Settings> {
    return (await this.#view()).settings;
  }

  /** Up to `limit` things behind `after`, in the order of their ids; `owner`: only of this customer or provider. */
  async list(
    kind: OverlayKind,
    { after = '', limit, owner }: { after?: string | undefined; limit: number; owner?: string | undefined },
  ): Promise<{ objects: AdminObject[]; hasMore: boolean }> {
    const view = await this.#view();
    const documents = new Map(
      view.documents.filter((each) => each.kind === kind).map((each) => [each.id, each]),
    );
    const wanted = (id: string) => id > after && (owner === undefined || ownerOf(id) === owner);
    const ids = idsOf(kind, view.settings).filter(wanted);
    const page = ids.slice(0, limit).flatMap((id) => viewObject(kind, id, view, documents.get(id)) ?? []);
    return { objects: page, hasMore: ids.length > limit };
  }

  /** @throws SluiceError object_not_found */
  async read(kind: OverlayKind, id: string): Promise<AdminObject> {
    const found = this.#find(await this.#view(), kind, id);
    if (!found) throw new SluiceError('object_not_found', { fields: { kind, id }, param: 'id' });
    return found;
  }

  /** Makes a thing that must not exist. @throws SluiceError object_exists, and what OverlayEditor.put throws */
  async create(change: ObjectChange, document: Fields): Promise<AdminObject> {
    const { kind, id } = change;
    if (this.#find(await this.#view(), kind, id))
      throw new SluiceError('object_exists', { fields: { kind, id }, param: 'id' });
    return this.#write({ ...change, precondition: 0 }, document);
  }

  /** Lays the document over what the file says, or makes the thing. @throws what OverlayEditor.put throws */
  async replace(change: ObjectChange, document: Fields): Promise<AdminObject> {
    return this.#write({ ...change, precondition: await this.#expected(change) }, document);
  }

  /** Changes some fields; null takes a change back. @throws SluiceError object_not_found, and as `replace` */
  async patch(change: ObjectChange, fields: Fields): Promise<AdminObject> {
    const { kind, id } = change;
    for (let tries = 1; ; tries++) {
      const expected = await this.#expected(change);
      const view = await this.#view();
      const found = this.#find(view, kind, id);
      if (!found) throw new SluiceError('object_not_found', { fields: { kind, id }, param: 'id' });
      const merged = Object.entries({ ...this.#ownFields(view, kind, id), ...fields });
      const document = Object.fromEntries(merged.filter(([, value]) => value !== null));
      try {
        return await this.#write({ ...change, precondition: expected ?? found.version }, document);
      } catch (error) {
        const again = expected === undefined && tries < triesMax;
        if (!again || !(error instanceof SluiceError) || error.code !== 'precondition_failed') throw error;
      }
    }
  }

  /**
   * Takes out what was changed; a thing that the file speaks of is then as the file says.
   *
   * @throws SluiceError object_not_found, object_of_file, and what OverlayEditor.remove throws
   */
  async remove(change: ObjectChange): Promise<void> {
    const { kind, id } = change;
    const found = await this.read(kind, id);
    if (found.source === 'file') throw new SluiceError('object_of_file', { fields: { kind, id } });
    const expectedVersion = numberOf(await this.#expected(change));
    await this.#editor.remove({ ...change, expectedVersion }).catch(asPrecondition(change));
  }

  async #write(change: ObjectChange, document: Fields): Promise<AdminObject> {
    const expectedVersion = numberOf(change.precondition);
    await this.#editor.put({ ...change, expectedVersion }, document).catch(asPrecondition(change));
    return this.read(change.kind, change.id);
  }

  /** The precondition as a version, once it is known to hold otherwise. */
  async #expected({ kind, id, precondition }: ObjectChange): Promise<number | undefined> {
    if (precondition === undefined || typeof precondition === 'number') return precondition;
    const found = this.#find(await this.#view(), kind, id);
    const holds = precondition === 'exists' ? found !== undefined : found === undefined;
    if (!holds)
      throw new SluiceError('precondition_failed', { fields: { kind, id, version: found?.version ?? 0 } });
    return found?.version ?? 0;
  }

  #find(view: View, kind: OverlayKind, id: string): AdminObject | undefined {
    return viewObject(kind, id, view, documentOf(view, kind, id));
  }

  /** What was changed of it, with its secrets, so that it can be written again. */
  #ownFields(view: View, kind: OverlayKind, id: string): Fields {
    const document = documentOf(view, kind, id)?.document ?? {};
    if (kind !== 'credentials') return document;
    return openCredential(document, view.settings.providers[ownerOf(id)]!.base_url, this.#options.secrets);
  }

  async #view(): Promise<View> {
    const file = this.#options.base();
    const { documents } = await this.#options.store.read();
    return { file, documents, settings: this.#merger.merge(file, documents).settings };
  }
}

const documentOf = ({ documents }: View, kind: OverlayKind, id: string) =>
  documents.find((each) => each.kind === kind && each.id === id);

const numberOf = (precondition: Precondition) =>
  typeof precondition === 'number' ? precondition : undefined;

/** A change that came between broke what this one expected. */
function asPrecondition({ kind, id }: ObjectChange) {
  return (error: unknown): never => {
    if (!(error instanceof SluiceError) || error.code !== 'document_conflict') throw error;
    const version = error.fields.version ?? 0;
    throw new SluiceError('precondition_failed', { fields: { kind, id, version } });
  };
}
