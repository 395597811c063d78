import { type EventPlace, isAfter, type JobEvent } from '#shared/contracts/job-events.ts';
import type { Outcome, OutcomeHead } from '#shared/contracts/outcome.ts';

/** Attempts of a job that have begun; what else its record says comes as events. */
export interface JobProgress {
  attempt: number;
}

/** One entry of the event log: the bytes that end at `place`. */
export interface LogEntry {
  place: EventPlace;
  bytes: Buffer;
}

/** Bytes of a stored answer that go into one event. */
const sliceBytes = 262_144;

function* stateEvents(attempt: number, after: EventPlace): Generator<JobEvent> {
  const queued = { epoch: 0, bytes: 0 };
  if (isAfter(queued, after)) yield { type: 'queued', place: queued };
  for (let epoch = Math.max(1, after.epoch); epoch <= attempt; epoch++) {
    const place = { epoch, bytes: 0 };
    if (isAfter(place, after)) yield { type: 'dispatched', place };
  }
}

/** The events of a running job after a place: state from its record, chunks from its log. */
export function* runningEvents(
  { attempt }: JobProgress,
  entries: readonly LogEntry[],
  after: EventPlace,
): Generator<JobEvent> {
  yield* stateEvents(attempt, after);
  let at = after;
  for (const { place, bytes } of entries) {
    // What a lost attempt left behind is of no use to anybody.
    if (place.epoch < attempt || !isAfter(place, at)) continue;
    // An entry that was written again because a reply was lost may begin before the end of the one before.
    const missing = place.bytes - (at.epoch === place.epoch ? Math.max(0, at.bytes) : 0);
    // A gap is never read over: the end of the job brings the whole answer.
    if (missing > bytes.length) return;
    yield { type: 'delta', place, bytes: bytes.subarray(bytes.length - missing) };
    at = place;
  }
}

/** The epoch of a stored answer: that of its attempt if it was streamed by the last one, else one of its own. */
export function outcomeEpoch(head: OutcomeHead, attempt: number): number {
  return head.streamed && head.attempts === attempt ? attempt : attempt + 1;
}

/** Never inside a character, so that a slice is text by itself. */
function endOfSlice(body: Buffer, from: number): number {
  let to = Math.min(from + sliceBytes, body.length);
  while (to < body.length && to > from + 1 && (body[to]! & 0xc0) === 0x80) to--;
  return to;
}

/** The events of an ended job after a place; its answer is what its chunks were, or one chunk. */
export function* endedEvents(
  { attempt }: JobProgress,
  { head, body }: Outcome,
  after: EventPlace,
): Generator<JobEvent> {
  yield* stateEvents(attempt, after);
  const epoch = outcomeEpoch(head, attempt);
  const ended = { epoch, bytes: body.length + 1 };
  if (!isAfter(ended, after)) return;
  for (let from = after.epoch === epoch ? Math.max(0, after.bytes) : 0; from < body.length; ) {
    const to = endOfSlice(body, from);
    yield { type: 'delta', place: { epoch, bytes: to }, bytes: body.subarray(from, to), head };
    from = to;
  }
  yield { type: 'ended', place: ended, head };
}
