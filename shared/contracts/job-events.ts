import type { TerminalState } from './job.ts';
import type { OutcomeHead } from './outcome.ts';

/**
 * A place in the events of a job. The epoch is the number of the attempt whose answer is read, or one more for an answer
 * that was not streamed; within it a place is the number of bytes of the answer before it. Places only grow, are the
 * same for every reader and through every door, and stay valid when the job has ended, because its stored answer is
 * those same bytes. A reader that sees the epoch change starts anew: no answer continues that of a lost attempt.
 */
export interface EventPlace {
  epoch: number;
  bytes: number;
}

/** Before the first event. */
export const beforeEverything: EventPlace = { epoch: 0, bytes: -1 };

export const isAfter = (left: EventPlace, right: EventPlace) =>
  left.epoch === right.epoch ? left.bytes > right.bytes : left.epoch > right.epoch;

/** The `id:` of an event. */
export const eventId = ({ epoch, bytes }: EventPlace) => `${epoch}-${bytes}`;

/** The place that an id names; undefined when it is none of ours. */
export function readEventId(id: string): EventPlace | undefined {
  const [, epoch, bytes] = /^(\d{1,9})-(\d{1,12})$/.exec(id) ?? [];
  return epoch === undefined ? undefined : { epoch: Number(epoch), bytes: Number(bytes) };
}

/** One event of a job. `place` is where the reader stands after it. */
export type JobEvent =
  | { type: 'queued'; place: EventPlace }
  | { type: 'dispatched'; place: EventPlace }
  /** `head` is there when the bytes come from the stored outcome. */
  | { type: 'delta'; place: EventPlace; bytes: Buffer; head?: OutcomeHead }
  | { type: 'ended'; place: EventPlace; head: OutcomeHead };

/** Names of the last event of a job. */
export const endingNames: Record<TerminalState, string> = {
  succeeded: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  expired: 'expired',
  outcome_unknown: 'outcome_unknown',
};
