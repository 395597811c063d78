import { randomUUID } from 'node:crypto';
import type { Settings } from '#config/schema.ts';
import { describeError, SluiceError } from '#shared/kernel/errors.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import type { RefusedDocument } from './document-verdict.ts';
import { fieldOf, type OverlayDocument, type OverlayKind, splitField } from './overlay-document.ts';
import { putDocument, readDocuments, removeDocument } from './overlay-scripts.ts';

export interface OverlayStoreOptions {
  redis: RedisConnection;
  settings: Settings['overlay'];
}

export interface OverlayChange {
  kind: OverlayKind;
  id: string;
  /** Who makes the change, for the audit. */
  who: string;
  /** Version the document must have; 0: there must be none. Unset: whatever is there. */
  expectedVersion?: number | undefined;
}

export interface OverlayState {
  version: number;
  /** The same array as long as nothing has changed. */
  documents: readonly OverlayDocument[];
  /** Documents that cannot be read, and why. */
  unreadable: readonly RefusedDocument[];
}

const nothingRead: OverlayState = { version: -1, documents: [], unreadable: [] };
type Fields = OverlayDocument['document'];

/** Removals that readers catch up with one by one; who is further behind reads everything. */
const removedMax = 1_000;
/** Longer than any command is sent again. */
const changeMs = 120_000;
const written = {
  documents: keys.overlayDocuments(),
  shown: keys.overlayShown(),
  changes: keys.overlayChanges(),
  removed: keys.overlayRemoved(),
  state: keys.overlayState(),
  audit: keys.audit(),
};

/**
 * Settings that are changed while processes run: documents by kind and id, under one version that counts every change.
 * Whoever follows them keeps what was read and asks for what has changed since; news of a change go to
 * `keys.overlayChannel()`.
 */
export class OverlayStore {
  readonly #options: OverlayStoreOptions;
  readonly #read = new Map<string, OverlayDocument>();
  readonly #unreadable = new Map<string, RefusedDocument>();
  #state = nothingRead;

  constructor(options: OverlayStoreOptions) {
    this.#options = options;
  }

  /** All documents; costs little when nothing has changed. @throws SluiceError store_unavailable */
  async read(): Promise<OverlayState> {
    const { redis } = this.#options;
    const known = this.#state.version;
    const reply = await runScript(redis, readDocuments, { keys: written, args: { known } });
    const [version, how, ...rows] = reply;
    // Another read that began later may have been answered first.
    if (this.#state.version !== known) return this.#state;
    if (how === 'some' && rows.length === 0) {
      this.#state = { ...this.#state, version };
      return this.#state;
    }
    if (how === 'all') {
      this.#read.clear();
      this.#unreadable.clear();
    }
    for (let index = 0; index < rows.length; index += 3)
      this.#take(rows[index]!, Number(rows[index + 1]), rows[index + 2]!);
    const unreadable = [...this.#unreadable.values()];
    this.#state = { version, documents: [...this.#read.values()], unreadable };
    return this.#state;
  }

  /** Reads everything anew next time: after a restart, Redis may have forgotten the newest versions. */
  forget(): void {
    this.#state = nothingRead;
  }

  /**
   * Stores a document that was found valid, its secrets sealed, and what the audit shows of it.
   *
   * @throws SluiceError document_conflict, overlay_full, document_too_large
   */
  async put(change: OverlayChange, sealed: Fields, shown: Fields): Promise<number> {
    const { redis, settings } = this.#options;
    const { kind, id, who, expectedVersion = '' } = change;
    const stored = JSON.stringify(sealed);
    if (Buffer.byteLength(stored) > settings.document_max_bytes)
      throw new SluiceError('document_too_large', { fields: { limit: settings.document_max_bytes } });
    const [answer, value] = await runScript(redis, putDocument, {
      keys: { ...written, change: keys.overlayChange(randomUUID()) },
      args: {
        field: fieldOf(kind, id),
        document: stored,
        shownNow: JSON.stringify(shown),
        expected: expectedVersion,
        documentsMax: settings.documents_max,
        who,
        auditMax: settings.audit_rows_max,
        changeMs,
        channel: keys.overlayChannel(),
      },
    });
    if (answer === 'conflict') throw conflict(kind, id, value);
    if (answer === 'full') throw new SluiceError('overlay_full', { fields: { limit: value } });
    return value;
  }

  /** Takes a document out. @throws SluiceError document_conflict or document_not_found */
  async remove(change: OverlayChange): Promise<number> {
    const { kind, id, who, expectedVersion = '' } = change;
    const { redis, settings } = this.#options;
    const [answer, value] = await runScript(redis, removeDocument, {
      keys: { ...written, change: keys.overlayChange(randomUUID()) },
      args: {
        field: fieldOf(kind, id),
        expected: expectedVersion,
        who,
        auditMax: settings.audit_rows_max,
        removedMax,
        changeMs,
        channel: keys.overlayChannel(),
      },
    });
    if (answer === 'missing') throw new SluiceError('document_not_found', { fields: { kind, id } });
    if (answer === 'conflict') throw conflict(kind, id, value);
    return value;
  }

  #take(field: string, version: number, text: string): void {
    this.#read.delete(field);
    this.#unreadable.delete(field);
    if (text === '') return;
    const { kind, id } = splitField(field);
    try {
      const document = JSON.parse(text) as Fields;
      this.#read.set(field, { kind, id, version, document });
    } catch (error) {
      this.#unreadable.set(field, { kind, id, reason: describeError(error) });
    }
  }
}

const conflict = (kind: string, id: string, version: number) =>
  new SluiceError('document_conflict', { fields: { kind, id, version } });
