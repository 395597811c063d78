import { type JudgedCall, jobOf } from './judged-call.ts';

const pageSize = 10_000;

interface Arrival {
  atMs: number;
  clientRequestId: string;
  credential: string;
  inputTokens: number;
  maxTokens: number | null;
  outputTokens: number;
  status: number;
  refusedBy: string | null;
  fault: string | null;
  finishedMs: number | null;
  aborted: boolean;
}

/**
 * The whole arrival log, with the tenant of each job. A call that nobody submitted belongs to the tenant `''`.
 *
 * @throws Error when the log has lost entries, because a judge must have seen everything
 */
export async function readArrivals(
  simulatorUrl: string,
  tenantOf: (job: string) => string | undefined,
): Promise<JudgedCall[]> {
  const calls: JudgedCall[] = [];
  for (let since = 0; ; ) {
    const response = await fetch(`${simulatorUrl}/_sim/arrivals?since=${since}&limit=${pageSize}`);
    const page = (await response.json()) as { arrivals: Arrival[]; nextSeq: number; dropped: number };
    if (page.dropped > 0) throw new Error(`The arrival log has lost ${page.dropped} entries; run shorter.`);
    for (const arrival of page.arrivals) calls.push(judged(arrival, tenantOf));
    if (page.arrivals.length < pageSize) return calls;
    since = page.nextSeq;
  }
}

function judged(arrival: Arrival, tenantOf: (job: string) => string | undefined): JudgedCall {
  const job = jobOf(arrival.clientRequestId);
  return {
    job,
    tenant: tenantOf(job) ?? '',
    credential: arrival.credential,
    atMs: arrival.atMs,
    finishedMs: arrival.finishedMs,
    inputTokens: arrival.inputTokens,
    maxTokens: arrival.maxTokens,
    outputTokens: arrival.outputTokens,
    status: arrival.status,
    refused: arrival.refusedBy !== null,
    fault: arrival.fault,
    aborted: arrival.aborted,
  };
}
