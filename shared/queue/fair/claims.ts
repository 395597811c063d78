import type { JobJson, KeepJobs, MinimalJob, QueueBaseOptions } from 'bullmq';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Grant } from './grant.ts';
import type { Usage } from './ticket-place.ts';

export interface FairOptions {
  clock: Clock;
  /** Whether QueueEvents, or anything else, reads the queue's event stream; without, none is written on the hot path. */
  events: boolean;
  /** Hears when the head whose turn it is does not fit yet, and what it waits for. */
  onWait?: ((tenant: string, waitedFor: string) => void) | undefined;
  /** The time the scripts work with, instead of Redis' own; for tests. */
  suppliedNowMs?: () => number;
}

/**
 * What a job leaves unused of its grant, as far as that is known: `all` when it was never sent, `output` when the
 * provider turned it away without producing anything.
 */
export type Unused = 'all' | 'output';

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
  /** How much later than that this caller is to ask, because others come at that moment, milliseconds. */
  lateMs: number;
  /** How long BullMQ's own limiter refuses, milliseconds. */
  limitedMs: number;
}

/** A job that is done, and what it has used. */
export interface Completion {
  job: MinimalJob;
  token: string;
  usage?: Usage | undefined;
}

export interface ClaimRequest {
  count: number;
  /** The tokens are `tokenPrefix` with the numbers from `tokenFrom` on; without numbers, the prefix itself. */
  tokenPrefix: string;
  tokenFrom?: number;
}

/** What a queue or worker of BullMQ may be opened with, as far as it matters here. */
export type BackendOptions = QueueBaseOptions & {
  name?: string;
  lockDuration?: number;
  limiter?: { max: number; duration: number };
  removeOnComplete?: KeepJobs;
  metrics?: { maxDataPoints?: number };
};

/** A request as the scripts take it. */
export function claimArgs({ count, tokenPrefix, tokenFrom }: ClaimRequest, options: BackendOptions) {
  const { lockDuration = 0, name = '', limiter } = options;
  return {
    count,
    tokenPrefix,
    tokenFrom: tokenFrom ?? '',
    lockMs: lockDuration,
    workerName: name,
    limiterMax: limiter?.max ?? '',
    limiterDurationMs: limiter?.duration ?? '',
  };
}
