import { ArrivalSegment, abortedFlag, finishedFlag, generationFlag, noMaxTokens } from './arrival-segment.ts';
import { Interned } from './interned.ts';

const largestSegment = 65_536;
const maxNames = 65_535;

/** What is known when a request arrives. */
export interface ArrivalStart {
  atMs: number;
  monoMs: number;
  path: string;
  credential: string;
  model: string;
  clientRequestId: string;
  bodyHash: number;
  bodyBytes: number;
  generation: boolean;
}

export interface Arrival {
  seq: number;
  /** Milliseconds since the epoch, with a fraction. */
  atMs: number;
  monoMs: number;
  path: string;
  dialect: 'openai' | 'anthropic';
  credential: string;
  model: string;
  clientRequestId: string;
  bodyHash: string;
  inputTokens: number;
  maxTokens: number | null;
  outputTokens: number;
  /** 0 while there is no answer yet, and for good when none was sent. */
  status: number;
  refusedBy: string | null;
  fault: string | null;
  finishedMs: number | null;
  aborted: boolean;
}

/**
 * Every request in order of arrival, in a bounded ring: the oldest segment goes when the newest is full. Sequence
 * numbers never restart, so a reader can tell what it has missed.
 */
export class ArrivalLog {
  readonly paths = new Interned(maxNames);
  readonly credentials = new Interned(maxNames);
  readonly models = new Interned(maxNames);
  readonly refusals = new Interned(maxNames);
  readonly faults = new Interned(maxNames);
  readonly #capacity: number;
  readonly #segmentSize: number;
  #segments: ArrivalSegment[] = [];
  /** Sequence number of the first entry of `#segments[0]`. */
  #baseSeq = 0;
  #nextSeq = 0;
  #clearedSeq = 0;
  #inFlight = 0;
  #maxInFlight = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#segmentSize = Math.min(largestSegment, Math.max(1, capacity));
  }

  get nextSeq(): number {
    return this.#nextSeq;
  }

  /** The oldest entry that can still be read. */
  get firstSeq(): number {
    return Math.max(this.#clearedSeq, this.#nextSeq - this.#capacity);
  }

  /** How many entries the bound has cost since the log was last cleared. */
  get dropped(): number {
    return this.firstSeq - this.#clearedSeq;
  }

  /** Entries for which memory is held: at most twice the capacity, and for a large one a segment more than it. */
  get allocated(): number {
    return this.#segments.length * this.#segmentSize;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get maxInFlight(): number {
    return this.#maxInFlight;
  }

  append(start: ArrivalStart): number {
    const seq = this.#nextSeq++;
    const offset = seq - this.#baseSeq;
    const index = offset % this.#segmentSize;
    if (index === 0) this.#addSegment();
    const segment = this.#segments.at(-1)!;
    segment.atMs[index] = start.atMs;
    segment.monoMs[index] = start.monoMs;
    segment.path[index] = this.paths.number(start.path);
    segment.credential[index] = this.credentials.number(start.credential);
    segment.model[index] = this.models.number(start.model);
    segment.clientRequestId[index] = start.clientRequestId;
    segment.bodyHash[index] = start.bodyHash;
    segment.bodyBytes[index] = start.bodyBytes;
    segment.maxTokens[index] = noMaxTokens;
    segment.flags[index] = start.generation ? generationFlag : 0;
    this.#inFlight++;
    if (this.#inFlight > this.#maxInFlight) this.#maxInFlight = this.#inFlight;
    return seq;
  }

  demanded(seq: number, model: string, inputTokens: number, maxTokens: number | undefined): void {
    const segment = this.#segmentOf(seq);
    if (!segment) return;
    const index = this.#indexOf(seq);
    segment.model[index] = this.models.number(model);
    segment.inputTokens[index] = inputTokens;
    segment.maxTokens[index] = maxTokens ?? noMaxTokens;
  }

  refused(seq: number, limit: string): void {
    const segment = this.#segmentOf(seq);
    if (segment) segment.refusedBy[this.#indexOf(seq)] = this.refusals.number(limit);
  }

  faulted(seq: number, fault: string): void {
    const segment = this.#segmentOf(seq);
    if (segment) segment.fault[this.#indexOf(seq)] = this.faults.number(fault);
  }

  answered(seq: number, status: number): void {
    const segment = this.#segmentOf(seq);
    if (segment) segment.status[this.#indexOf(seq)] = status;
  }

  /** Ends an entry; call it exactly once for each. */
  finished(seq: number, finishedMs: number, outputTokens: number, aborted: boolean): void {
    this.#inFlight--;
    const segment = this.#segmentOf(seq);
    if (!segment) return;
    const index = this.#indexOf(seq);
    segment.finishedMs[index] = finishedMs;
    segment.outputTokens[index] = outputTokens;
    segment.flags[index]! |= finishedFlag | (aborted ? abortedFlag : 0);
  }

  /** Forgets all entries. Requests still in flight stay counted as such. */
  clear(): void {
    this.#segments = [];
    this.#baseSeq = this.#nextSeq;
    this.#clearedSeq = this.#nextSeq;
    this.#maxInFlight = this.#inFlight;
  }

  /** Visits the entries from `sinceSeq` on, oldest first, until `visit` returns false. */
  visit(sinceSeq: number, visit: (segment: ArrivalSegment, index: number, seq: number) => boolean): void {
    for (let seq = Math.max(sinceSeq, this.firstSeq); seq < this.#nextSeq; seq++) {
      if (!visit(this.#segmentOf(seq)!, this.#indexOf(seq), seq)) return;
    }
  }

  read(segment: ArrivalSegment, index: number, seq: number): Arrival {
    const path = this.paths.name(segment.path[index]!);
    const flags = segment.flags[index]!;
    const maxTokens = segment.maxTokens[index]!;
    return {
      seq,
      atMs: segment.atMs[index]!,
      monoMs: segment.monoMs[index]!,
      path,
      dialect: path.startsWith('/v1/messages') ? 'anthropic' : 'openai',
      credential: this.credentials.name(segment.credential[index]!),
      model: this.models.name(segment.model[index]!),
      clientRequestId: segment.clientRequestId[index]!,
      bodyHash: `${segment.bodyHash[index]!.toString(16).padStart(8, '0')}-${segment.bodyBytes[index]}`,
      inputTokens: segment.inputTokens[index]!,
      maxTokens: maxTokens === noMaxTokens ? null : maxTokens,
      outputTokens: segment.outputTokens[index]!,
      status: segment.status[index]!,
      refusedBy: this.refusals.name(segment.refusedBy[index]!) || null,
      fault: this.faults.name(segment.fault[index]!) || null,
      finishedMs: flags & finishedFlag ? segment.finishedMs[index]! : null,
      aborted: (flags & abortedFlag) !== 0,
    };
  }

  #addSegment(): void {
    this.#segments.push(new ArrivalSegment(this.#segmentSize));
    const obsolete = Math.floor((this.firstSeq - this.#baseSeq) / this.#segmentSize);
    if (obsolete <= 0) return;
    this.#segments.splice(0, obsolete);
    this.#baseSeq += obsolete * this.#segmentSize;
  }

  #segmentOf(seq: number): ArrivalSegment | undefined {
    return seq < this.#baseSeq
      ? undefined
      : this.#segments[Math.floor((seq - this.#baseSeq) / this.#segmentSize)];
  }

  #indexOf(seq: number): number {
    return (seq - this.#baseSeq) % this.#segmentSize;
  }
}
