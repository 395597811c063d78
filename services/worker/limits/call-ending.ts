import type { CallEnding } from '#shared/queue/fair/credential-health.ts';
import type { AttemptResult } from '../attempt-result.ts';

const failures = new Set(['server', 'capacity']);

/** What the end of a request says about its credential and its provider. */
export function endingOf(result: AttemptResult): CallEnding {
  if (result.kind === 'answered') return result.flaw === undefined ? 'served' : 'failed';
  if (result.kind === 'invalid' || result.kind === 'broken') return 'failed';
  if (result.kind === 'cut') return result.code === 'cancelled' ? 'nothing' : 'failed';
  if (result.kind === 'unanswered') {
    if (result.failure === 'aborted') return 'nothing';
    return result.failure === 'tooLarge' ? 'served' : 'failed';
  }
  if (result.class === 'billing' || result.class === 'ramp') return result.class;
  return failures.has(result.class) ? 'failed' : 'served';
}
