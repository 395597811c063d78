import type { LinePlace } from '#shared/batches/split-lines.ts';
import type { LineResult } from './line-result.ts';

/** A line that has been read and is not in a file of the batch yet. */
export interface OpenLine {
  number: number;
  /** Where it begins in the input file. */
  offset: number;
  bytes: number;
  customId: string;
  jobId: string;
  /** Whether its job has been asked for and has not ended. */
  running: boolean;
  result: LineResult | undefined;
}

interface Limits {
  lines: number;
  bytes: number;
  /** Finished lines and bytes that are worth writing at once. */
  readyLines: number;
  readyBytes: number;
}

const bodyBytes = (result: LineResult | undefined) => (result?.kind === 'job' && result.body?.length) || 0;

/**
 * The lines of one batch between reading and writing: a bounded window, in the order of the file. Everything before
 * the first open line is done, which is where a successor goes on.
 */
export class OpenLines {
  readonly #limits: Limits;
  readonly #lines = new Map<number, OpenLine>();
  #ready: OpenLine[] = [];
  #bytes = 0;
  #readyBytes = 0;
  #readTo: LinePlace;
  #allRead = false;
  #changed = Promise.withResolvers<void>();

  /** `lost` wakes whoever waits for a change: there will be none any more. */
  constructor(limits: Limits, from: LinePlace, lost: AbortSignal) {
    this.#limits = limits;
    this.#readTo = from;
    lost.addEventListener('abort', () => this.wake(), { once: true });
  }

  get hasRoom(): boolean {
    return (
      this.#lines.size === 0 || (this.#lines.size < this.#limits.lines && this.#bytes < this.#limits.bytes)
    );
  }

  /** Whether finished lines should be written now instead of a little later. */
  get isWorthWriting(): boolean {
    const { readyLines, readyBytes } = this.#limits;
    const over = this.#allRead && this.#ready.length === this.#lines.size;
    return over || this.#ready.length >= readyLines || this.#readyBytes >= readyBytes;
  }

  get isOver(): boolean {
    return this.#allRead && this.#lines.size === 0;
  }

  get readyCount(): number {
    return this.#ready.length;
  }

  /** Bytes of answers that wait in memory to be written. */
  get readyBytes(): number {
    return this.#readyBytes;
  }

  /** Resolves when a line was finished or written, all were read, or `wake` was called. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  add(line: OpenLine): void {
    this.#lines.set(line.number, line);
    this.#bytes += line.bytes;
  }

  /** All lines up to this place have been read. */
  readTo(place: LinePlace): void {
    this.#readTo = place;
  }

  allRead(): void {
    this.#allRead = true;
    this.wake();
  }

  finish(line: OpenLine, result: LineResult): void {
    if (line.result || !this.#lines.has(line.number)) return;
    line.running = false;
    line.result = result;
    this.#ready.push(line);
    this.#readyBytes += bodyBytes(result);
    this.wake();
  }

  running(): OpenLine[] {
    return [...this.#lines.values()].filter((line) => line.running);
  }

  /** Finished lines to be written together; they stay open until `written`. */
  takeReady(): OpenLine[] {
    const taken: OpenLine[] = [];
    let bytes = 0;
    while (this.#ready.length > taken.length && taken.length < this.#limits.readyLines) {
      const next = this.#ready[taken.length]!;
      taken.push(next);
      bytes += bodyBytes(next.result);
      if (bytes >= this.#limits.readyBytes) break;
    }
    this.#ready = this.#ready.slice(taken.length);
    this.#readyBytes -= bytes;
    return taken;
  }

  /** The place before which all is done once `writing` is. */
  cursorAfter(writing: readonly OpenLine[]): LinePlace {
    const leaving = new Set(writing);
    for (const line of this.#lines.values()) {
      if (!leaving.has(line)) return { line: line.number - 1, offset: line.offset };
    }
    return this.#readTo;
  }

  written(lines: readonly OpenLine[]): void {
    for (const line of lines) {
      this.#lines.delete(line.number);
      this.#bytes -= line.bytes;
    }
    this.wake();
  }
}
