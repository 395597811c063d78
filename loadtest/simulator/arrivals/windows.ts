import type { ArrivalLog } from './arrival-log.ts';
import { type ArrivalSegment, finishedFlag, generationFlag, noMaxTokens } from './arrival-segment.ts';

export interface Fullest {
  amount: number;
  /** Start of that window, null when nothing arrived. */
  startMs: number | null;
}

/** The fullest windows of everything that arrived, or of what was let in. */
export interface WindowsOf {
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

interface Columns {
  atMs: number[];
  endMs: number[];
  requests: number[];
  inputTokens: number[];
  maxTokens: number[];
  outputTokens: number[];
}

/** How full the fullest windows were, over the whole log; the independent judge of every ceiling. */
export function reportWindows(log: ArrivalLog, query: WindowQuery): WindowReport {
  const all = columns();
  const admitted = columns();
  log.visit(0, (segment, index) => {
    if (!isWanted(log, segment, index, query)) return true;
    push(all, segment, index);
    if (wasAdmitted(segment, index)) push(admitted, segment, index);
    return true;
  });
  const { windowMs, sliceMs } = query;
  const rolling = (column: Columns) =>
    windowsOf(column, (amounts) => fullestRolling(column.atMs, amounts, windowMs));
  const sliced = (column: Columns) =>
    windowsOf(column, (amounts) => fullestSlice(column.atMs, amounts, sliceMs));
  return {
    windowMs,
    sliceMs,
    arrivals: all.atMs.length,
    all: rolling(all),
    admitted: rolling(admitted),
    slices: { all: sliced(all), admitted: sliced(admitted) },
    concurrency: mostAtOnce(admitted),
  };
}

/** The largest sum over any window [t, t + windowMs), by two pointers; `atMs` is ascending. */
export function fullestRolling(
  atMs: readonly number[],
  amounts: readonly number[],
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
export function fullestSlice(atMs: readonly number[], amounts: readonly number[], sliceMs: number): Fullest {
  const fullest: Fullest = { amount: 0, startMs: null };
  let slice = Number.NaN;
  let sum = 0;
  for (const [index, ms] of atMs.entries()) {
    const own = Math.floor(ms / sliceMs);
    sum = own === slice ? sum + amounts[index]! : amounts[index]!;
    slice = own;
    if (sum > fullest.amount) {
      fullest.amount = sum;
      fullest.startMs = slice * sliceMs;
    }
  }
  return fullest;
}

function isWanted(log: ArrivalLog, segment: ArrivalSegment, index: number, query: WindowQuery): boolean {
  if ((segment.flags[index]! & generationFlag) === 0) return false;
  if (query.model !== undefined && log.models.name(segment.model[index]!) !== query.model) return false;
  return (
    query.credential === undefined || log.credentials.name(segment.credential[index]!) === query.credential
  );
}

/** Let in by the limits: neither refused nor turned away as invalid before they were asked. */
function wasAdmitted(segment: ArrivalSegment, index: number): boolean {
  if (segment.refusedBy[index]! !== 0) return false;
  const status = segment.status[index]!;
  return segment.fault[index]! !== 0 || ![400, 401, 404, 413].includes(status);
}

function columns(): Columns {
  return { atMs: [], endMs: [], requests: [], inputTokens: [], maxTokens: [], outputTokens: [] };
}

function push(into: Columns, segment: ArrivalSegment, index: number): void {
  const maxTokens = segment.maxTokens[index]!;
  const finished = (segment.flags[index]! & finishedFlag) !== 0;
  into.atMs.push(segment.atMs[index]!);
  into.endMs.push(finished ? segment.finishedMs[index]! : Number.POSITIVE_INFINITY);
  into.requests.push(1);
  into.inputTokens.push(segment.inputTokens[index]!);
  into.maxTokens.push(maxTokens === noMaxTokens ? 0 : maxTokens);
  into.outputTokens.push(segment.outputTokens[index]!);
}

function windowsOf(from: Columns, fullest: (amounts: readonly number[]) => Fullest): WindowsOf {
  return {
    requests: fullest(from.requests),
    inputTokens: fullest(from.inputTokens),
    inputPlusMaxTokens: fullest(from.inputTokens.map((input, index) => input + from.maxTokens[index]!)),
    inputPlusOutputTokens: fullest(from.inputTokens.map((input, index) => input + from.outputTokens[index]!)),
    outputTokens: fullest(from.outputTokens),
  };
}

function mostAtOnce({ atMs, endMs }: Columns): Fullest {
  const ends = Float64Array.from(endMs).sort();
  const fullest: Fullest = { amount: 0, startMs: null };
  let ended = 0;
  for (const [index, ms] of atMs.entries()) {
    while (ends[ended]! <= ms) ended++;
    const running = index + 1 - ended;
    if (running > fullest.amount) {
      fullest.amount = running;
      fullest.startMs = ms;
    }
  }
  return fullest;
}
