import type { Usage } from '#shared/contracts/job.ts';
import type { ErrorCode } from '#shared/kernel/error-catalog.ts';
import type { FailureClass } from './failures/classify.ts';
import type { ProviderResponse } from './http/provider-client.ts';
import type { TransportFailure } from './http/transport-error.ts';

/** How one provider request ended. */
export type AttemptResult =
  /** `streamed`: the body is what was passed on while it came; then a `flaw` of it cannot be mended any more. */
  | { kind: 'answered'; response: ProviderResponse; usage: Usage | undefined; streamed?: true; flaw?: string }
  /** A whole answer that is not what was asked for; it is paid for all the same. */
  | { kind: 'broken'; response: ProviderResponse; usage: Usage | undefined; reason: string; code: ErrorCode }
  /** A stream that broke off after it had begun: what there is of it ends with an error. Never asked for again. */
  | { kind: 'cut'; response: ProviderResponse; usage: Usage; reason: string; code: ErrorCode | null }
  | {
      kind: 'refused';
      response: ProviderResponse;
      class: FailureClass;
      retryable: boolean;
      countsAsAttempt: boolean;
      retryAfterMs: number | undefined;
    }
  | { kind: 'invalid'; reason: string; code: ErrorCode }
  | { kind: 'unanswered'; failure: TransportFailure; reason: string; code: ErrorCode };

/** No answer, or none that can be used. */
export type Unanswered = Extract<AttemptResult, { kind: 'invalid' | 'unanswered' }>;

/** What the story of a job calls the end of an attempt. */
export function resultName(result: AttemptResult): string {
  if (result.kind === 'answered') return result.flaw === undefined ? 'succeeded' : 'broken_answer';
  if (result.kind === 'broken') return 'broken_answer';
  if (result.kind === 'refused') return result.class;
  if (result.kind === 'cut') return result.code === 'cancelled' ? 'aborted' : 'cut';
  return result.kind === 'unanswered' ? result.failure : 'invalid';
}
