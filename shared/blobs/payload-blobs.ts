import { type BlobStore, blobError, oneChunk, readWhole } from './blob-store.ts';

/** Bodies of calls and answers in the blob store, by name. */
export class PayloadBlobs {
  readonly inlineMaxBytes: number;
  readonly #blobs: BlobStore;

  constructor(blobs: BlobStore, inlineMaxBytes: number) {
    this.#blobs = blobs;
    this.inlineMaxBytes = inlineMaxBytes;
  }

  async write(tenant: string, name: string, bytes: Uint8Array): Promise<void> {
    await this.#blobs.put({ tenant, kind: 'payloads', name }, oneChunk(bytes), bytes.length);
  }

  async read(tenant: string, name: string): Promise<Buffer | undefined> {
    try {
      const chunks = await this.#blobs.read({ tenant, kind: 'payloads', name });
      return chunks && (await readWhole(chunks));
    } catch (error) {
      throw blobError(error);
    }
  }

  remove(tenant: string, name: string): Promise<void> {
    return this.#blobs.remove({ tenant, kind: 'payloads', name });
  }
}
