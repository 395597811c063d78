import type { CachedFrom } from './cache.ts';
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
  /** What the answer has cost, nano-USD; absent without usage, or without a known price. */
  costNanoUsd?: number;
  /** Set when the body continues what the event log of the last attempt holds. */
  streamed?: true;
  /** Set when the answer came from the cache. */
  cached?: CachedFrom;
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

/** What a worker tells while a job runs: an attempt began, or (with `from`) more of its answer is in the event log. */
export interface Progress {
  job: string;
  epoch: number;
  /** Where the chunk that travels along begins, bytes of the answer. */
  from?: number;
}

/** What travels to an ingress: how a job ended, or how far it is. */
export type Announcement =
  | { kind: 'outcome'; head: OutcomeHead; body: Buffer | undefined }
  | { kind: 'progress'; head: Progress; body: Buffer | undefined };

/** The wire form of an announcement: head, newline, body. A body left out is read from the store. */
export function encodeAnnouncement(head: OutcomeHead | Progress, body: Buffer | undefined): Buffer {
  const text = JSON.stringify(head);
  if (!body) return Buffer.from(text);
  return Buffer.concat([Buffer.from(text), Buffer.from([newline]), body]);
}

export function decodeAnnouncement(message: Buffer): Announcement {
  const end = message.indexOf(newline);
  const head = JSON.parse(message.toString('utf8', 0, end === -1 ? message.length : end)) as object;
  const body = end === -1 ? undefined : message.subarray(end + 1);
  if ('state' in head) return { kind: 'outcome', head: head as OutcomeHead, body };
  return { kind: 'progress', head: head as Progress, body };
}
