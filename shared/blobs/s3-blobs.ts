import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Settings } from '#config/schema.ts';
import {
  type BlobKind,
  type BlobRef,
  type BlobStore,
  type ByteRange,
  blobError,
  blobPath,
  bounded,
  type ListedBlob,
  noChunks,
} from './blob-store.ts';

type Sdk = typeof import('@aws-sdk/client-s3');

/** A write holds one part in memory at a time; S3 takes 10,000 parts of at least 5 MB. */
const partBytes = 8_388_608;

/** Blobs as objects of an S3 bucket. The SDK is large and loaded only where it is used. */
export class S3Blobs implements BlobStore {
  readonly #sdk: Sdk;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #answerMs: number;

  private constructor(sdk: Sdk, settings: Settings['blobs']['s3']) {
    const { access_key_id, secret_access_key, region, endpoint, path_style } = settings;
    const { connect_timeout_ms, answer_timeout_ms } = settings;
    this.#sdk = sdk;
    this.#bucket = settings.bucket;
    this.#prefix = settings.prefix;
    this.#answerMs = answer_timeout_ms;
    this.#client = new sdk.S3Client({
      region,
      forcePathStyle: path_style,
      ...(endpoint ? { endpoint } : {}),
      ...(access_key_id
        ? { credentials: { accessKeyId: access_key_id, secretAccessKey: secret_access_key ?? '' } }
        : {}),
      // Unset, the SDK waits for ever.
      requestHandler: {
        connectionTimeout: connect_timeout_ms,
        requestTimeout: answer_timeout_ms,
        throwOnRequestTimeout: true,
      },
      // Stores that are not AWS do not know the newer checksums; TLS and the part list guard the bytes.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }

  static async open(settings: Settings['blobs']['s3']): Promise<S3Blobs> {
    return new S3Blobs(await import('@aws-sdk/client-s3'), settings);
  }

  async put(ref: BlobRef, chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<number> {
    const place = this.#place(blobPath(ref));
    const parts = inParts(bounded(chunks, maxBytes));
    const first = await parts.next();
    const second = await parts.next();
    const head = first.value ?? Buffer.alloc(0);
    if (!second.done) return this.#putInParts(place, head, second.value, parts);
    await asked(this.#client.send(new this.#sdk.PutObjectCommand({ ...place, Body: head })));
    return head.length;
  }

  async #putInParts(
    place: { Bucket: string; Key: string },
    first: Buffer,
    second: Buffer,
    more: AsyncGenerator<Buffer, void>,
  ): Promise<number> {
    const begun = await asked(this.#client.send(new this.#sdk.CreateMultipartUploadCommand(place)));
    const upload = { ...place, UploadId: begun.UploadId };
    const Parts: { ETag: string | undefined; PartNumber: number }[] = [];
    let bytes = 0;
    const add = async (Body: Buffer) => {
      const PartNumber = Parts.length + 1;
      const part = new this.#sdk.UploadPartCommand({ ...upload, PartNumber, Body });
      const { ETag } = await asked(this.#client.send(part));
      Parts.push({ ETag, PartNumber });
      bytes += Body.length;
    };
    try {
      await add(first);
      await add(second);
      for await (const part of more) await add(part);
      const whole = new this.#sdk.CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } });
      await asked(this.#client.send(whole));
      return bytes;
    } catch (error) {
      await this.#client.send(new this.#sdk.AbortMultipartUploadCommand(upload)).catch(() => undefined);
      throw error;
    }
  }

  async read(ref: BlobRef, range?: ByteRange): Promise<AsyncIterable<Uint8Array> | undefined> {
    const place = this.#place(blobPath(ref));
    if (range && range.to <= range.from) return noChunks();
    const part = range && { Range: `bytes=${range.from}-${range.to - 1}` };
    const command = new this.#sdk.GetObjectCommand({ ...place, ...part });
    try {
      const { Body } = await this.#client.send(command);
      return arriving(Body as Readable, this.#answerMs);
    } catch (error) {
      if ((error as Error).name === 'NoSuchKey') return undefined;
      throw blobError(error);
    }
  }

  async remove(ref: BlobRef): Promise<void> {
    await asked(this.#client.send(new this.#sdk.DeleteObjectCommand(this.#place(blobPath(ref)))));
  }

  async *list(tenant: string, kind: BlobKind, prefix: string): AsyncGenerator<ListedBlob, void> {
    const { Key } = this.#place(blobPath({ tenant, kind, name: 'x' }));
    const folder = Key.slice(0, -1);
    let StartAfter: string | undefined;
    do {
      const command = new this.#sdk.ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: folder + prefix,
        ...(StartAfter ? { StartAfter } : {}),
      });
      const { Contents = [], IsTruncated } = await asked(this.#client.send(command));
      for (const { Key = '', LastModified } of Contents)
        yield { name: Key.slice(folder.length), modifiedMs: LastModified?.getTime() ?? 0 };
      StartAfter = IsTruncated ? Contents.at(-1)?.Key : undefined;
    } while (StartAfter !== undefined);
  }

  /** S3 ends them itself by a lifecycle rule of the bucket (AbortIncompleteMultipartUpload). */
  async clearUnfinished(): Promise<void> {}

  #place(path: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + path };
  }
}

/**
 * The bytes of an object as they come. @throws SluiceError blobs_unavailable when they break off or stop coming; while
 * nobody reads on, nothing is waited for
 */
async function* arriving(body: Readable, waitMs: number): AsyncGenerator<Uint8Array, void> {
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  try {
    for (;;) {
      const late = AbortSignal.timeout(waitMs);
      const giveUp = () => body.destroy(new Error('the store stopped sending'));
      late.addEventListener('abort', giveUp, { once: true });
      const { done, value } = await chunks.next();
      late.removeEventListener('abort', giveUp);
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw blobError(error);
  } finally {
    body.destroy();
  }
}

async function asked<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw blobError(error);
  }
}

/** The same bytes in pieces of `partBytes`, the last one smaller. */
async function* inParts(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void> {
  let pending: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; ) {
      const piece = chunk.subarray(from, from + partBytes - bytes);
      pending.push(piece);
      bytes += piece.length;
      from += piece.length;
      if (bytes < partBytes) continue;
      yield Buffer.concat(pending);
      pending = [];
      bytes = 0;
    }
  }
  if (bytes > 0) yield Buffer.concat(pending);
}
