import type { Settings } from '#config/schema.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { OverlayMerger, withDocument } from './merge-overlay.ts';
import { fieldOf, type OverlayDocument, ownerOf } from './overlay-document.ts';
import type { OverlayChange, OverlayStore } from './overlay-store.ts';
import { type OverlaySecrets, sealCredential, showDocument } from './secret-fields.ts';

/**
 * Changes documents, after looking at what the settings would become: what would not be valid, or would make something
 * else invalid, is refused. Two changes at the same time may still disagree; then the younger document is skipped and
 * named by every process (`sluice_overlay_documents_skipped`).
 */
export class OverlayEditor {
  readonly #store: OverlayStore;
  readonly #base: () => Settings;
  readonly #secrets: OverlaySecrets;
  readonly #merger: OverlayMerger;

  /** `base`: the settings of the file, without any document. */
  constructor(store: OverlayStore, base: () => Settings, secrets: OverlaySecrets) {
    this.#store = store;
    this.#base = base;
    this.#secrets = secrets;
    this.#merger = new OverlayMerger(secrets);
  }

  /**
   * Creates or replaces a document and returns its version.
   *
   * @throws SluiceError document_invalid, document_in_use, document_conflict, document_too_large, overlay_full,
   * store_unavailable
   */
  async put(change: OverlayChange, document: OverlayDocument['document']): Promise<number> {
    const { documents } = await this.#store.read();
    const { kind, id } = change;
    const { providers } = this.#refuseHarm(change, documents, withDocument(documents, change, document));
    const sealed =
      kind === 'credentials'
        ? sealCredential(document, providers[ownerOf(id)]!.base_url, this.#secrets)
        : document;
    return this.#store.put(change, sealed, showDocument(kind, document));
  }

  /** Takes a document out. @throws SluiceError document_not_found, document_in_use, document_conflict, store_unavailable */
  async remove(change: OverlayChange): Promise<number> {
    const { documents } = await this.#store.read();
    this.#refuseHarm(change, documents, withDocument(documents, change, undefined));
    return this.#store.remove(change);
  }

  /** What the settings become. */
  #refuseHarm(
    { kind, id }: OverlayChange,
    before: readonly OverlayDocument[],
    after: readonly OverlayDocument[],
  ): Settings {
    const base = this.#base();
    const wasRefused = this.#merger.merge(base, before).refused;
    const refusedBefore = new Set(wasRefused.map((each) => fieldOf(each.kind, each.id)));
    const { settings, refused } = this.#merger.merge(base, after);
    const itself = refused.find((each) => each.kind === kind && each.id === id);
    if (itself) throw new SluiceError('document_invalid', { fields: { kind, id, reason: itself.reason } });
    const harmed = refused.find((each) => !refusedBefore.has(fieldOf(each.kind, each.id)));
    if (harmed)
      throw new SluiceError('document_in_use', {
        fields: { kind, id, by: `${fieldOf(harmed.kind, harmed.id)} (${harmed.reason})` },
      });
    return settings;
  }
}
