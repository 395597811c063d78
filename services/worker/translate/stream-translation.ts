import type { LanguageModelV4FinishReason, LanguageModelV4Usage } from '@ai-sdk/provider';
import type { Dialect } from '#shared/contracts/endpoint.ts';
import type { AnswerEnd, AnswerHead, AnswerWriter, StreamWriter } from './answer-writer.ts';
import { awsFramesOf } from './aws-frames.ts';
import { BlockSequence, PartsOutOfOrder, type StreamPart } from './blocks.ts';
import { withoutContinuation } from './without-continuation.ts';

/** What the AI SDK's models read in another form than it is passed on here. */
const framings: Partial<Record<Dialect, (events: Buffer) => Buffer>> = {
  bedrock: awsFramesOf,
  gemini: withoutContinuation,
};

/**
 * A streamed answer on its way from the provider's dialect to the caller's: events go in as they were read, and come out
 * in the other dialect as soon as the AI SDK has made parts of them. What it holds is bounded by the answer's own bound.
 */
export class StreamTranslation {
  readonly #emit: (bytes: Buffer) => void;
  readonly #framed: (events: Buffer) => Buffer;
  readonly #written: Buffer[] = [];
  readonly #opened = Promise.withResolvers<void>();
  readonly readable: ReadableStream<Uint8Array>;
  #input: ReadableStreamDefaultController<Uint8Array> | undefined;
  #writer: StreamWriter | undefined;
  #blocks: BlockSequence | undefined;
  #end: { finishReason: LanguageModelV4FinishReason; usage: LanguageModelV4Usage } | undefined;
  /** Why the answer cannot be translated any further. */
  failed: string | undefined;

  /** `emit` takes what the caller is given; `dialect` is the provider's. */
  constructor(emit: (bytes: Buffer) => void, dialect: Dialect) {
    this.#emit = emit;
    this.#framed = framings[dialect] ?? ((events) => events);
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#input = controller;
      },
      cancel: () => {
        this.#input = undefined;
      },
    });
  }

  /** Whether the caller was given anything. */
  get begun(): boolean {
    return this.#written.length > 0;
  }

  /** All that the caller was given. */
  get body(): Buffer {
    return Buffer.concat(this.#written);
  }

  /** Resolves when the provider has begun to stream. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  open(): void {
    this.#opened.resolve();
  }

  /** Takes events of the provider. */
  take(bytes: Buffer): void {
    this.#input?.enqueue(this.#framed(bytes));
  }

  /** Nothing more comes. */
  close(): void {
    this.#input?.close();
    this.#input = undefined;
  }

  /** Translates until the parts end. */
  async write(parts: ReadableStream<StreamPart>, writer: AnswerWriter, head: AnswerHead): Promise<void> {
    try {
      for await (const part of parts) if (this.failed === undefined) this.#take(part, writer, head);
    } catch (error) {
      this.failed ??= error instanceof PartsOutOfOrder ? error.message : 'its events have another form';
    }
  }

  /** Writes the end of an answer that is whole. False when its parts told none. */
  finish(): boolean {
    if (!this.#end || !this.#writer || !this.#blocks || this.failed !== undefined) return false;
    const end: AnswerEnd = { reason: this.#end.finishReason, usage: this.#end.usage };
    this.#write(this.#blocks.end() + this.#writer.finish(this.#blocks.blocks, end));
    return true;
  }

  #take(part: StreamPart, writer: AnswerWriter, head: AnswerHead): void {
    if (part.type === 'error') this.failed = 'its events have another form';
    if (part.type === 'finish') this.#end = part;
    if (part.type === 'stream-start' || part.type === 'error') return;
    const model = part.type === 'response-metadata' ? part.modelId : undefined;
    const begun = this.#begin(writer, model === undefined ? head : { ...head, model });
    this.#write(begun + this.#blocks!.take(part));
  }

  #begin(writer: AnswerWriter, head: AnswerHead): string {
    if (this.#writer) return '';
    this.#writer = writer.stream(head);
    this.#blocks = new BlockSequence(this.#writer);
    return this.#writer.begin();
  }

  #write(text: string): void {
    if (text === '') return;
    const bytes = Buffer.from(text);
    this.#written.push(bytes);
    this.#emit(bytes);
  }
}
