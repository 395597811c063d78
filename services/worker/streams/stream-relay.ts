import { isUtf8 } from 'node:buffer';
import { createParser, type EventSourceParser } from 'eventsource-parser';
import type { Usage } from '#shared/contracts/job.ts';
import { estimateTextTokens } from '#shared/tokens/estimate-tokens.ts';
import type { StreamEventSense, StreamReader } from '../providers/stream-reader.ts';
import { EventSplitter, EventTooLarge } from './split-events.ts';
import { StreamInvalid } from './stream-invalid.ts';

export interface StreamRelayOptions {
  reader: StreamReader;
  /** Hide the usage that we asked for from a caller that did not. */
  hideUsage: boolean;
  eventMaxBytes: number;
  eventsMax: number;
  /** Takes the events, as they came, as soon as they are whole. */
  emit: (bytes: Buffer) => void;
}

const endMark = '[DONE]';
const usageNull = '"usage":null';

/**
 * One streamed answer on its way through a worker: cuts it into whole events, reads what they say of its end, its usage
 * and its failure, and passes them on byte for byte. Comments before the first event wait for it, so that a provider
 * that fails before it has said anything can still be asked again.
 */
export class StreamRelay {
  readonly #options: StreamRelayOptions;
  readonly #splitter: EventSplitter;
  readonly #parser: EventSourceParser;
  readonly #passed: Buffer[] = [];
  #early: Buffer[] = [];
  #senses: (StreamEventSense | undefined)[] = [];
  #events = 0;
  #text = '';
  #usage: Partial<Usage> = {};
  /** The answer is whole. */
  finished = false;
  /** The error that the provider sent as an event. */
  error: Record<string, unknown> | undefined;

  constructor(options: StreamRelayOptions) {
    this.#options = options;
    this.#splitter = new EventSplitter(options.eventMaxBytes);
    this.#parser = createParser({ onEvent: ({ data }) => this.#senses.push(this.#senseOf(data)) });
  }

  /** Whether anything was passed on. */
  get begun(): boolean {
    return this.#passed.length > 0;
  }

  /** All that was passed on. */
  get body(): Buffer {
    return Buffer.concat(this.#passed);
  }

  /** Takes a piece of the body; true when nothing follows. @throws StreamInvalid */
  push(piece: Buffer): boolean {
    try {
      for (const event of this.#splitter.push(piece)) if (this.#take(event)) return true;
      return false;
    } catch (error) {
      throw error instanceof EventTooLarge ? new StreamInvalid(error.message) : error;
    }
  }

  /** The body has ended; a last event without its blank line counts. @throws StreamInvalid */
  end(): void {
    const rest = Buffer.from(this.#splitter.rest);
    if (rest.length > 0) this.push(Buffer.from('\n\n'));
  }

  /** Tokens as the provider said, or as seen so far where it did not. */
  usage(estimatedInput: number): Usage {
    const { inputTokens = estimatedInput, outputTokens, ...parts } = this.#usage;
    const said = this.finished ? outputTokens : undefined;
    return {
      ...parts,
      inputTokens,
      outputTokens: said ?? Math.max(outputTokens ?? 0, estimateTextTokens(this.#text)),
    };
  }

  #take(event: Buffer): boolean {
    if (++this.#events > this.#options.eventsMax)
      throw new StreamInvalid(`more than ${this.#options.eventsMax} events`);
    if (!isUtf8(event)) throw new StreamInvalid('not UTF-8');
    this.#senses = [];
    const text = event.toString();
    this.#parser.feed(text);
    const [sense] = this.#senses;
    if (!sense) {
      if (!isCommentOnly(text)) throw new StreamInvalid('not an event stream');
      if (this.begun) this.#pass(event);
      else this.#early.push(event);
      return false;
    }
    Object.assign(this.#usage, sense.usage);
    this.#text += sense.text ?? '';
    this.finished ||= sense.finished === true || sense.over === true;
    this.error = sense.error;
    // A provider that fails at once has not answered: the job may be tried again, and nothing is passed on.
    if (sense.error && !this.begun) return true;
    if (!(this.#options.hideUsage && sense.onlyUsage)) this.#pass(this.#withoutUsage(event, text));
    return sense.over === true || sense.error !== undefined;
  }

  #senseOf(data: string): StreamEventSense {
    if (data === endMark) return { over: true };
    try {
      const parsed: unknown = JSON.parse(data);
      if (typeof parsed === 'object' && parsed !== null)
        return this.#options.reader(parsed as Record<string, unknown>);
    } catch {
      // Falls through: what is not an object is no event of any dialect.
    }
    throw new StreamInvalid('an event is not JSON');
  }

  #pass(event: Buffer): void {
    const bytes = this.#early.length > 0 ? Buffer.concat([...this.#early, event]) : event;
    this.#early = [];
    this.#passed.push(bytes);
    this.#options.emit(bytes);
  }

  /** Asking for usage puts a null into every other chunk, which the caller did not ask for either. */
  #withoutUsage(event: Buffer, text: string): Buffer {
    if (!this.#options.hideUsage) return event;
    const at = text.indexOf(usageNull);
    // Inside a string its quotes would be escaped; twice means that some other object has one, too.
    if (at === -1 || text.includes(usageNull, at + 1)) return event;
    const before = text.slice(0, at);
    const after = text.slice(at + usageNull.length);
    const cut = before.endsWith(',') ? before.slice(0, -1) + after : before + after.replace(/^,/, '');
    return Buffer.from(cut);
  }
}

const isCommentOnly = (text: string) =>
  text.split(/\r?\n/).every((line) => line === '' || /^(:|event:|id:|retry:)/.test(line));
