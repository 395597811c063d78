import type { TerminalState } from './job.ts';

/**
 * How a job ended, as it is stored and announced: this head as one line of JSON, and the body as bytes. Whoever reads
 * it, through whichever door, gets the same bytes.
 */
export interface OutcomeHead {
  job: string;
  state: TerminalState;
  /** HTTP status of the answer. */
  status: number;
  contentType: string;
  /** Headers of the provider that are passed on (request ids). */
  headers: Record<string, string>;
  provider: string;
  model: string;
  /** Code of our own error when the provider gave no answer to pass on. */
  error: string | null;
  attempts: number;
  /** Time from acceptance to the first attempt, milliseconds. */
  queueMs: number;
  /** Time of the last attempt, milliseconds. */
  providerMs: number;
}

export interface Outcome {
  head: OutcomeHead;
  body: Buffer;
}

const newline = 0x0a;

/** The wire form of an announcement: head, newline, body. A body left out is read from the record. */
export function encodeAnnouncement(head: string, body: Buffer | undefined): Buffer {
  if (!body) return Buffer.from(head);
  return Buffer.concat([Buffer.from(head), Buffer.from([newline]), body]);
}

export function decodeAnnouncement(message: Buffer): { head: OutcomeHead; body: Buffer | undefined } {
  const end = message.indexOf(newline);
  const head = JSON.parse(message.toString('utf8', 0, end === -1 ? message.length : end)) as OutcomeHead;
  return { head, body: end === -1 ? undefined : message.subarray(end + 1) };
}
