import type { ArrivalLog } from './arrival-log.ts';
import { type ArrivalSegment, finishedFlag, generationFlag, noMaxTokens } from './arrival-segment.ts';

export interface Fullest {
  amount: number;
  /** Start of that window, null when nothing arrived. */
  startMs: number | null;
}

/** The fullest windows of everything that arrived, or of what was let in. */
interface WindowsOf {
  requests: Fullest;
  inputTokens: Fullest;
  inputPlusMaxTokens: Fullest;
  /** Counted at arrival, though output comes later. */
  inputPlusOutputTokens: Fullest;
  outputTokens: Fullest;
}

export interface WindowReport {
  windowMs: number;
  sliceMs: number;
  arrivals: number;
  all: WindowsOf;
  admitted: WindowsOf;
  /** The same on aligned slices of `sliceMs`. */
  slices: { all: WindowsOf; admitted: WindowsOf };
  /** The most calls in progress at once, of those that were let in. */
  concurrency: Fullest;
}

export interface WindowQuery {
  windowMs: number;
  sliceMs: number;
  credential?: string | undefined;
  model?: string | undefined;
}

/** How full the fullest windows were, over the whole log; the independent judge of every ceiling. */
export function reportWindows(log: ArrivalLog, query: WindowQuery): WindowReport {
  const all = new Columns(log.nextSeq - log.firstSeq);
  const admitted = new Columns(log.nextSeq - log.firstSeq);
  const credential =
    query.credential === undefined ? undefined : (log.credentials.find(query.credential) ?? -1);
  const model = query.model === undefined ? undefined : (log.models.find(query.model) ?? -1);
  log.visit(0, (segment, index) => {
    if ((segment.flags[index]! & generationFlag) === 0) return true;
    if (credential !== undefined && segment.credential[index] !== credential) return true;
    if (model !== undefined && segment.model[index] !== model) return true;
    all.add(segment, index);
    if (wasAdmitted(segment, index)) admitted.add(segment, index);
    return true;
  });
  const { windowMs, sliceMs } = query;
  const rolling = (columns: Columns) =>
    windowsOf(columns, (amounts) => fullestRolling(columns.atMs, amounts, windowMs));
  const sliced = (columns: Columns) =>
    windowsOf(columns, (amounts) => fullestSlice(columns.atMs, amounts, sliceMs));
  const columns = { all: all.cut(), admitted: admitted.cut() };
  return {
    windowMs,
    sliceMs,
    arrivals: columns.all.atMs.length,
    all: rolling(columns.all),
    admitted: rolling(columns.admitted),
    slices: { all: sliced(columns.all), admitted: sliced(columns.admitted) },
    concurrency: mostAtOnce(columns.admitted),
  };
}

/** The largest sum over any window [t, t + windowMs), by two pointers; `atMs` is ascending. */
export function fullestRolling(
  atMs: ArrayLike<number>,
  amounts: ArrayLike<number>,
  windowMs: number,
): Fullest {
  let sum = 0;
  let oldest = 0;
  const fullest: Fullest = { amount: 0, startMs: null };
  for (let newest = 0; newest < atMs.length; newest++) {
    sum += amounts[newest]!;
    while (atMs[newest]! - atMs[oldest]! >= windowMs) sum -= amounts[oldest++]!;
    if (sum > fullest.amount) {
      fullest.amount = sum;
      fullest.startMs = atMs[oldest]!;
    }
  }
  return fullest;
}

/** The largest sum over any slice that starts at a multiple of `sliceMs`; `atMs` is ascending. */
export function fullestSlice(atMs: ArrayLike<number>, amounts: ArrayLike<number>, sliceMs: number): Fullest {
  const fullest: Fullest = { amount: 0, startMs: null };
  let slice = Number.NaN;
  let sum = 0;
  for (let index = 0; index < atMs.length; index++) {
    const own = Math.floor(atMs[index]! / sliceMs);
    sum = own === slice ? sum + amounts[index]! : amounts[index]!;
    slice = own;
    if (sum > fullest.amount) {
      fullest.amount = sum;
      fullest.startMs = slice * sliceMs;
    }
  }
  return fullest;
}

/** Let in by the limits: neither refused nor turned away as invalid before they were asked. */
function wasAdmitted(segment: ArrivalSegment, index: number): boolean {
  if (segment.refusedBy[index]! !== 0) return false;
  const status = segment.status[index]!;
  return segment.fault[index]! !== 0 || ![400, 401, 404, 413].includes(status);
}

/** What the windows are computed from, one column for each quantity. */
class Columns {
  #length = 0;
  atMs: Float64Array;
  endMs: Float64Array;
  inputTokens: Float64Array;
  maxTokens: Float64Array;
  outputTokens: Float64Array;

  constructor(size: number) {
    this.atMs = new Float64Array(size);
    this.endMs = new Float64Array(size);
    this.inputTokens = new Float64Array(size);
    this.maxTokens = new Float64Array(size);
    this.outputTokens = new Float64Array(size);
  }

  add(segment: ArrivalSegment, index: number): void {
    const row = this.#length++;
    const maxTokens = segment.maxTokens[index]!;
    const finished = (segment.flags[index]! & finishedFlag) !== 0;
    this.atMs[row] = segment.atMs[index]!;
    this.endMs[row] = finished ? segment.finishedMs[index]! : Number.POSITIVE_INFINITY;
    this.inputTokens[row] = segment.inputTokens[index]!;
    this.maxTokens[row] = maxTokens === noMaxTokens ? 0 : maxTokens;
    this.outputTokens[row] = segment.outputTokens[index]!;
  }

  /** Drops the rows that were not filled. */
  cut(): this {
    this.atMs = this.atMs.subarray(0, this.#length);
    this.endMs = this.endMs.subarray(0, this.#length);
    this.inputTokens = this.inputTokens.subarray(0, this.#length);
    this.maxTokens = this.maxTokens.subarray(0, this.#length);
    this.outputTokens = this.outputTokens.subarray(0, this.#length);
    return this;
  }
}

function windowsOf(from: Columns, fullest: (amounts: Float64Array) => Fullest): WindowsOf {
  return {
    requests: fullest(new Float64Array(from.atMs.length).fill(1)),
    inputTokens: fullest(from.inputTokens),
    inputPlusMaxTokens: fullest(from.inputTokens.map((input, index) => input + from.maxTokens[index]!)),
    inputPlusOutputTokens: fullest(from.inputTokens.map((input, index) => input + from.outputTokens[index]!)),
    outputTokens: fullest(from.outputTokens),
  };
}

function mostAtOnce({ atMs, endMs }: Columns): Fullest {
  const ends = endMs.slice().sort();
  const fullest: Fullest = { amount: 0, startMs: null };
  let ended = 0;
  for (let index = 0; index < atMs.length; index++) {
    while (ends[ended]! <= atMs[index]!) ended++;
    const running = index + 1 - ended;
    if (running > fullest.amount) {
      fullest.amount = running;
      fullest.startMs = atMs[index]!;
    }
  }
  return fullest;
}
