import type { FallbackCondition } from '#config/schema.ts';
import type { BegunJob } from '#shared/jobs/job-store.ts';
import type { AttemptResult } from '../attempt-result.ts';
import type { FailureClass } from '../failures/classify.ts';

export interface MoveCircumstances {
  /** The job could be tried here once more. */
  again: boolean;
  /** When. */
  waitMs: number;
  credentials: number;
  isOpen: boolean;
}

/**
 * The target that a job goes on at after this attempt; undefined when it stays, or ends. A failure that would be met
 * everywhere (the call itself is wrong) moves nothing, whatever the route says.
 */
export function moveAfter(
  job: BegunJob,
  result: AttemptResult,
  circumstances: MoveCircumstances,
): number | undefined {
  const { route, target } = job;
  if (!route || target + 1 >= route.targets.length) return undefined;
  const neverSent = result.kind === 'unanswered' && result.failure === 'notSent';
  if (job.delivery === 'at_most_once' && !neverSent) return undefined;
  const failure = conditionOf(result);
  if (failure === undefined) return undefined;
  const isNamed = route.on.includes(failure);
  const moves = circumstances.again
    ? isAtOnce(job, result, failure, circumstances)
    : // Whoever has waited for a quota as long as he may has failed for good.
      isNamed || failure === 'quota' || isStatusNamed(job, result);
  return moves ? target + 1 : undefined;
}

/** Whether the route does not wait for what could be tried here once more. */
function isAtOnce(
  job: BegunJob,
  result: AttemptResult,
  failure: FallbackCondition,
  { waitMs, credentials, isOpen }: MoveCircumstances,
): boolean {
  const { on, waitOverMs } = job.route!;
  if (isStatusNamed(job, result)) return true;
  if (failure === 'quota' && on.includes('quota')) return true;
  if (isOpen && on.includes('breaker_open')) return true;
  // With other credentials the call may be sent sooner than this one allows.
  return waitOverMs !== undefined && waitMs > waitOverMs && credentials === 1;
}

const isStatusNamed = ({ route }: BegunJob, result: AttemptResult) =>
  result.kind === 'refused' && route!.on.includes(result.response.status);

const byClass: Partial<Record<FailureClass, FallbackCondition>> = {
  quota: 'quota',
  ramp: 'quota',
  concurrency: 'quota',
  capacity: 'capacity',
  billing: 'billing',
  oversize: 'oversize',
  server: 'server',
};
const byStatus: Record<number, FallbackCondition> = {
  401: 'auth',
  403: 'auth',
  404: 'model_missing',
};
/** How providers say that a call does not fit the context of a model (facts of OpenAI, Anthropic and hosts alike). */
const tooLong = /context_length_exceeded|maximum context length|prompt is too long|context window/i;
const errorTextMax = 4_096;

/** What a failed attempt is called in routes; undefined for one that any other target would meet as well. */
export function conditionOf(result: AttemptResult): FallbackCondition | undefined {
  switch (result.kind) {
    case 'refused': {
      const known = byClass[result.class] ?? byStatus[result.response.status];
      if (known !== undefined) return known;
      return tooLong.test(result.response.body.toString('utf8', 0, errorTextMax))
        ? 'context_length'
        : undefined;
    }
    case 'unanswered':
      if (result.failure === 'aborted') return undefined;
      if (result.failure === 'tooLarge') return 'broken_answer';
      return result.failure === 'timeout' ? 'timeout' : 'unreachable';
    case 'invalid':
    case 'broken':
      return 'broken_answer';
    case 'answered':
    case 'cut':
      return undefined;
  }
}
