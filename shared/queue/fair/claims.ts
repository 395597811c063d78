import type { JobJson } from 'bullmq';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Grant } from './grant.ts';

export interface FairOptions {
  clock: Clock;
  /** Whether QueueEvents, or anything else, reads the queue's event stream; without, none is written on the hot path. */
  events: boolean;
  /** The time the scripts work with, instead of Redis' own; for tests. */
  suppliedNowMs?: () => number;
}

/** One job that was handed out. */
export interface Claimed {
  id: string;
  json: JobJson;
  token: string;
  grant: Grant;
}

export interface Claims {
  claimed: Claimed[];
  /** When it is worth asking again, milliseconds from now; undefined: when the marker tells. */
  comeBackMs: number | undefined;
  /** How long BullMQ's own limiter refuses, milliseconds. */
  limitedMs: number;
}

export interface ClaimRequest {
  count: number;
  /** The tokens are `tokenPrefix` with the numbers from `tokenFrom` on; without numbers, the prefix itself. */
  tokenPrefix: string;
  tokenFrom?: number;
}

/** Token of the job at `index` of a claim; the counterpart of tokenAt in lua/includes/hand-out.lua. */
export function tokenAt({ tokenPrefix, tokenFrom }: ClaimRequest, index: number): string {
  return tokenFrom === undefined ? tokenPrefix : `${tokenPrefix}${tokenFrom + index}`;
}
