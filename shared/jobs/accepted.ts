import type { z } from 'zod';
import type { JobRequest } from '#shared/contracts/job.ts';
import { type Counted, countedOf } from '#shared/quotas/charges.ts';
import type { acceptScript } from './scripts.ts';
import type { Together } from './shared-jobs.ts';

export interface AcceptOptions {
  tenant: string;
  jobId: string;
  request: JobRequest;
  idempotency: { keyHash: string; fingerprint: string } | undefined;
  /** Holder of the idempotency key whose record was found gone by an earlier try. */
  goneJob: string | undefined;
  /** Ingress that awaits the job, if any. */
  waiter: string | undefined;
  /** Set when the job may be shared with identical calls. */
  together?: Together | undefined;
  /** Whether that ingress follows the job's events too. */
  follows?: boolean;
  depthLimit: number;
  /** How many calls of its key may wait, if that has a bound of its own. */
  keyDepthLimit?: number | undefined;
  /** What it is charged, as `encodeCharges` writes it; undefined: nothing. */
  quotas?: string | undefined;
  /** From now, milliseconds. */
  deadlineMs: number;
  runAtMs: number | undefined;
}

export type Accepted =
  | {
      kind: 'accepted';
      jobId: string;
      deadlineMs: number;
      /** Not before this long from now a quota may have room for it, milliseconds. */
      waitMs?: number;
      /** Calls of its key that wait. */
      keyDepth?: number;
      /** How far each of its quotas is used now. */
      counted?: Counted[];
    }
  | { kind: 'joined'; jobId: string }
  /** Shared with who asked first. */
  | { kind: 'together'; jobId: string }
  | { kind: 'mismatch'; jobId: string }
  | { kind: 'queue_full'; depth: number; ofKey?: true }
  /** A quota has no room, could never have room for such a call, or counts too many values of its axes. */
  | {
      kind: 'limited' | 'too_large' | 'crowded';
      /** Which of its charges. */
      index: number;
      used: number;
      retryMs: number;
      counted: Counted[];
    };

/** What the accept script replied, by name. */
export function acceptedOf(reply: z.output<typeof acceptScript.reply>): Accepted {
  switch (reply[0]) {
    case 'accepted': {
      const [kind, jobId, deadlineMs, waitMs, keyDepth, ...counted] = reply;
      if (waitMs === undefined) return { kind, jobId, deadlineMs };
      return { kind, jobId, deadlineMs, waitMs, keyDepth: keyDepth!, counted: countedOf(counted) };
    }
    case 'joined':
    case 'mismatch':
    case 'together':
      return { kind: reply[0], jobId: reply[1] };
    case 'queue_full':
      return { kind: reply[0], depth: reply[1], ...(reply[2] === 1 ? { ofKey: true } : {}) };
    case 'limited':
    case 'too_large':
    case 'crowded': {
      const [kind, place, used, retryMs, ...counted] = reply;
      return { kind, index: place - 1, used, retryMs, counted: countedOf(counted) };
    }
  }
}
