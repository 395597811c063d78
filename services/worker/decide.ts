import type { Settings } from '#config/schema.ts';
import type { BegunJob } from '#shared/jobs/job-store.ts';
import type { Random } from '#shared/kernel/random.ts';
import type { AttemptResult } from './attempt-result.ts';
import { backoffMs } from './failures/backoff.ts';
import { moveAfter } from './routing/move-after.ts';
import { answerOf, type Ending, failureOf } from './settle-outcome.ts';

export type Decision =
  | { kind: 'end'; ending: Ending }
  | { kind: 'again'; delayMs: number; refusal: boolean; reason: string }
  /** On to the target `to` of its route; `ending` is how the job would have ended without one. */
  | { kind: 'move'; to: number; ending: Ending };

export interface DecideParts {
  settings: Settings['jobs'];
  random: Random;
}

/** What is known beside the result of an attempt. */
export interface Circumstances {
  signal: AbortSignal;
  /** Delay before the next attempt here. */
  waitMs: number;
  /** Redis' time at the end of the attempt. */
  nowMs: number;
  /** Money stops this credential, and another one may serve the job. */
  otherServes: boolean;
  /** Credentials that the pool has. */
  credentials: number;
  /** The pool, or its only credential, is left alone after failures. */
  isOpen: boolean;
}

/** What one attempt means for the job: its end, another attempt here, or one at the next target of its route. */
export function decide(
  parts: DecideParts,
  job: BegunJob,
  result: AttemptResult,
  circumstances: Circumstances,
): Decision {
  if (result.kind === 'answered') {
    const { response, usage, streamed } = result;
    return { kind: 'end', ending: { kind: 'answer', state: 'succeeded', response, usage, streamed } };
  }
  if (result.kind === 'cut') return { kind: 'end', ending: cutEnding(result) };
  const { signal, waitMs, nowMs, otherServes } = circumstances;
  const ending = finalEnding(result, job);
  const elsewhere = otherServes && mayWait(parts, job);
  const again =
    !isOver(job, nowMs + waitMs) &&
    (elsewhere || (mayRetry(parts, job, result) && waitMs <= parts.settings.retry_after_max_ms));
  const to = isOver(job, nowMs) ? undefined : moveAfter(job, result, { ...circumstances, again });
  const goesOn = again || to !== undefined;
  const cancelled = signal.aborted && (result.kind === 'unanswered' || goesOn);
  if (cancelled) return { kind: 'end', ending: failureOf('cancelled', 'cancelled') };
  if (to !== undefined) return { kind: 'move', to, ending };
  if (!again) return { kind: 'end', ending };
  if (elsewhere) return { kind: 'again', delayMs: 0, refusal: true, reason: 'breaker' };
  const refusal = isRefusal(result);
  return { kind: 'again', delayMs: waitMs, refusal, reason: refusal ? 'cooldown' : 'retry' };
}

/** What a caller may have read of a stream cannot be taken back: the job ends with it. */
function cutEnding({ response, usage, code }: Extract<AttemptResult, { kind: 'cut' }>): Ending {
  const state = code === 'cancelled' ? 'cancelled' : 'failed';
  return { kind: 'answer', state, response, usage, code, streamed: true };
}

/** Whether the provider turned the request away for quota, which is no attempt of the job's. */
export const isRefusal = (result: AttemptResult) => result.kind === 'refused' && !result.countsAsAttempt;

function finalEnding(result: Exclude<AttemptResult, { kind: 'answered' | 'cut' }>, job: BegunJob): Ending {
  if (result.kind === 'refused') return answerOf('failed', result.response, undefined);
  if (result.kind === 'broken') {
    const { code, reason, usage } = result;
    return { ...failureOf('failed', code, { reason }), usage };
  }
  const mayHaveRun = result.kind === 'unanswered' && result.failure !== 'notSent';
  if (mayHaveRun && job.delivery === 'at_most_once') return failureOf('outcome_unknown', 'outcome_unknown');
  return failureOf('failed', result.code, { reason: result.reason });
}

/** Moment after which no attempt of the job goes on; undefined for one without a route, whose attempts go on. */
export function latestMs({ route, createdMs }: Pick<BegunJob, 'route' | 'createdMs'>): number | undefined {
  return route?.timeoutMs === undefined ? undefined : createdMs + route.timeoutMs;
}

/** Whether a call with a route may begin no further attempt at that time: its deadline is one over all attempts. */
function isOver(job: BegunJob, atMs: number): boolean {
  return (
    job.route !== undefined && atMs >= Math.min(job.deadlineMs, latestMs(job) ?? Number.POSITIVE_INFINITY)
  );
}

/** Whether a refusal, which is no attempt, may send the job back to its lane once more. */
const mayWait = ({ settings }: DecideParts, job: BegunJob) =>
  job.delivery !== 'at_most_once' && job.refusals < settings.refusals_max;

/** Attempts that were made where the job is now, without refusals. */
const attemptsHere = (job: BegunJob) => job.attempt - job.attemptsBefore - job.refusals;

function attemptsMax({ settings }: DecideParts, { route, target }: BegunJob): number {
  const retries = route?.targets[target]?.retries;
  return retries === undefined ? settings.attempts_max : retries + 1;
}

function mayRetry(parts: DecideParts, job: BegunJob, result: AttemptResult): boolean {
  const mayTryAgain = attemptsHere(job) < attemptsMax(parts, job);
  if (job.delivery === 'at_most_once')
    return result.kind === 'unanswered' && result.failure === 'notSent' && mayTryAgain;
  if (result.kind === 'refused' && !result.retryable) return false;
  if (isRefusal(result)) return mayWait(parts, job);
  // What passed the bound once will pass it again, and every time it is paid for.
  if (result.kind === 'unanswered' && result.failure === 'tooLarge') return false;
  return mayTryAgain;
}

/** Delay before the next attempt: what the provider asks for, or a backoff with full jitter. */
export function retryWaitMs({ settings, random }: DecideParts, job: BegunJob, result: AttemptResult): number {
  const asked = result.kind === 'refused' ? result.retryAfterMs : undefined;
  if (asked !== undefined) return asked;
  const failures = isRefusal(result) ? job.refusals + 1 : Math.max(1, attemptsHere(job));
  return backoffMs(failures, settings.retry_base_ms, settings.retry_max_ms, random);
}
