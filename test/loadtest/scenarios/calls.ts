import type { JudgedCall } from '../../../loadtest/judge/judged-call.ts';

/** A served call of 100 input and 10 output tokens that was answered at once. */
export function call(over: Partial<JudgedCall> & { atMs: number }): JudgedCall {
  return {
    job: `job-${over.tenant ?? 'a'}-${over.atMs}`,
    tenant: 'a',
    credential: '000001',
    finishedMs: over.atMs,
    inputTokens: 100,
    maxTokens: 50,
    outputTokens: 10,
    status: 200,
    refused: false,
    fault: null,
    aborted: false,
    ...over,
  };
}
