import type { ArrivalLog } from './arrival-log.ts';
import { abortedFlag, generationFlag } from './arrival-segment.ts';

const listedJobs = 100;

export interface ArrivalSummary {
  total: number;
  byStatus: Record<string, number>;
  byRefusedBy: Record<string, number>;
  byFault: Record<string, number>;
  aborted: number;
  inputTokens: number;
  outputTokens: number;
  /** Different jobs, by the part of the client request id before its slash. */
  distinctJobs: number;
  /** Calls of the job that was called most often. */
  maxCallsPerJob: number;
  jobsCalledMoreThanOnce: number;
  /** The first hundred of them. */
  repeatedJobs: { job: string; calls: number }[];
  inFlight: number;
  maxInFlight: number;
  firstMs: number | null;
  lastMs: number | null;
  dropped: number;
}

/** Counts over all calls that generate something; token counts and lists of models are left out. */
export function summarize(log: ArrivalLog): ArrivalSummary {
  const byStatus: Record<string, number> = {};
  const byRefusedBy: Record<string, number> = {};
  const byFault: Record<string, number> = {};
  const callsOfJob = new Map<string, number>();
  const sums = { total: 0, aborted: 0, inputTokens: 0, outputTokens: 0 };
  let firstMs: number | null = null;
  let lastMs: number | null = null;
  log.visit(0, (segment, index) => {
    const flags = segment.flags[index]!;
    if ((flags & generationFlag) === 0) return true;
    sums.total++;
    sums.inputTokens += segment.inputTokens[index]!;
    sums.outputTokens += segment.outputTokens[index]!;
    if (flags & abortedFlag) sums.aborted++;
    firstMs ??= segment.atMs[index]!;
    lastMs = segment.atMs[index]!;
    increment(byStatus, String(segment.status[index]));
    if (segment.refusedBy[index]) increment(byRefusedBy, log.refusals.name(segment.refusedBy[index]!));
    if (segment.fault[index]) increment(byFault, log.faults.name(segment.fault[index]!));
    const job = jobOf(segment.clientRequestId[index]!);
    if (job !== '') callsOfJob.set(job, (callsOfJob.get(job) ?? 0) + 1);
    return true;
  });
  const { inFlight, maxInFlight, dropped } = log;
  return {
    ...sums,
    byStatus,
    byRefusedBy,
    byFault,
    ...jobCounts(callsOfJob),
    inFlight,
    maxInFlight,
    firstMs,
    lastMs,
    dropped,
  };
}

function jobCounts(callsOfJob: ReadonlyMap<string, number>) {
  let maxCallsPerJob = 0;
  let jobsCalledMoreThanOnce = 0;
  const repeatedJobs: { job: string; calls: number }[] = [];
  for (const [job, calls] of callsOfJob) {
    if (calls > maxCallsPerJob) maxCallsPerJob = calls;
    if (calls < 2) continue;
    jobsCalledMoreThanOnce++;
    if (repeatedJobs.length < listedJobs) repeatedJobs.push({ job, calls });
  }
  return { distinctJobs: callsOfJob.size, maxCallsPerJob, jobsCalledMoreThanOnce, repeatedJobs };
}

function jobOf(clientRequestId: string): string {
  const slash = clientRequestId.indexOf('/');
  return slash < 0 ? clientRequestId : clientRequestId.slice(0, slash);
}

function increment(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
