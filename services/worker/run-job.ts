import type { ProviderSettings, Settings } from '#config/schema.ts';
import type { Attempt } from '#shared/contracts/job.ts';
import { ticketVersion } from '#shared/contracts/ticket.ts';
import type { BegunJob, JobStore } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Random } from '#shared/kernel/random.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { HeldTicket, Verdict } from '#shared/queue/ticket-worker.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { contextOf, inSpan, SpanKind, spans } from '#shared/telemetry/tracing.ts';
import { type AttemptResult, callProvider } from './call-provider.ts';
import { backoffMs } from './failures/backoff.ts';
import type { ProviderClient } from './http/provider-client.ts';
import type { AbortReason, LeaseKeeper } from './lease-keeper.ts';
import { answerOf, type Ending, failureOf, type OutcomeSettler } from './settle-outcome.ts';

export interface RunJobParts {
  id: PoolId;
  workerId: string;
  provider: ProviderSettings;
  client: ProviderClient;
  jobs: JobStore;
  leases: LeaseKeeper;
  settler: OutcomeSettler;
  settings: Settings['jobs'];
  metrics: Metrics;
  clock: Clock;
  random: Random;
}

const done: Verdict = { kind: 'done' };
/** A ticket of a newer version waits for a newer worker. */
const newerTicketDelayMs = 30_000;

type Decision =
  | { kind: 'end'; ending: Ending }
  | { kind: 'again'; delayMs: number; refusal: boolean; reason: string }
  | { kind: 'drop' };

/** begin → send → settle → complete, for one ticket. The branching of the worker is here and nowhere else. */
export async function runJob(parts: RunJobParts, held: HeldTicket): Promise<Verdict> {
  if (held.ticket.v > ticketVersion) return { kind: 'later', delayMs: newerTicketDelayMs };
  const attributes = {
    'sluice.tenant': held.ticket.tenant,
    'sluice.job': held.ticket.job,
    'sluice.pool': poolName(parts.id),
  };
  return inSpan(
    spans.run,
    SpanKind.CONSUMER,
    attributes,
    () => beginAndRun(parts, held),
    contextOf(held.traceMetadata),
  );
}

const poolName = (id: PoolId) => `${id.provider}/${id.pool}`;

async function beginAndRun(parts: RunJobParts, held: HeldTicket): Promise<Verdict> {
  const { jobs, leases, settings, settler, id } = parts;
  const { tenant, job: jobId } = held.ticket;
  const begun = await jobs.begin({
    tenant,
    jobId,
    token: held.token,
    owner: parts.workerId,
    mayTakeOver: leases.mayTakeOver,
  });
  switch (begun.kind) {
    case 'begun':
      return runBegun(parts, held, begun.job);
    case 'busy':
      return { kind: 'later', delayMs: Math.min(begun.remainingMs, settings.busy_recheck_ms) };
    case 'settled':
    case 'gone':
      return done;
    case 'late':
      await settler.settleUnstarted(tenant, jobId, id, failureOf('expired', 'expired'));
      return done;
    case 'unknown':
      await settler.settleUnstarted(tenant, jobId, id, failureOf('outcome_unknown', 'outcome_unknown'));
      return done;
    case 'crashed':
      await settler.settleUnstarted(
        tenant,
        jobId,
        id,
        failureOf('failed', 'worker_crashed', { crashes: begun.crashes }),
      );
      return done;
  }
}

async function runBegun(parts: RunJobParts, held: HeldTicket, job: BegunJob): Promise<Verdict> {
  const { tenant, job: jobId } = held.ticket;
  const { jobs, leases, metrics, id } = parts;
  const pool = poolName(id);
  if (job.attempt === 1) metrics.queueWaitSeconds.observe({ pool }, (job.startedMs - job.createdMs) / 1_000);
  const signal = leases.hold(tenant, jobId, held.token);
  metrics.runningJobs.inc({ pool });
  try {
    const { attempt, result } = await makeAttempt(parts, jobId, job, signal);
    const decision = decide(parts, job, result, signal);
    if (decision.kind === 'drop') return done;
    if (decision.kind === 'end') {
      await parts.settler.settle({ tenant, jobId, id, job, attempt, ending: decision.ending });
      return done;
    }
    await jobs.abandon(tenant, jobId, held.token, attempt, decision.refusal, decision.reason);
    return { kind: 'later', delayMs: decision.delayMs };
  } finally {
    metrics.runningJobs.dec({ pool });
    leases.release(jobId, held.token);
  }
}

async function makeAttempt(
  parts: RunJobParts,
  jobId: string,
  job: BegunJob,
  signal: AbortSignal,
): Promise<{ attempt: Attempt; result: AttemptResult }> {
  const { provider, client, clock, metrics, id } = parts;
  const credential = provider.credentials[job.attempt % provider.credentials.length]!;
  const startedAt = clock.monotonicMs();
  const attributes = {
    'sluice.pool': poolName(id),
    'sluice.attempt': job.attempt,
    'gen_ai.request.model': job.model,
  };
  const result = await inSpan(spans.attempt, SpanKind.CLIENT, attributes, () =>
    callProvider(client, clock, { job, jobId, settings: provider, apiKey: credential.api_key, signal }),
  );
  const durationMs = clock.monotonicMs() - startedAt;
  const name = resultName(result);
  metrics.attempts.inc({ pool: poolName(id), credential: credential.id, result: name });
  metrics.providerSeconds.observe({ pool: poolName(id) }, durationMs / 1_000);
  const attempt: Attempt = {
    attempt: job.attempt,
    credential: credential.id,
    started_at: job.nowMs,
    duration_ms: Math.round(durationMs * 10) / 10,
    status: 'response' in result ? result.response.status : null,
    result: name,
  };
  return { attempt, result };
}

function resultName(result: AttemptResult): string {
  if (result.kind === 'answered') return 'succeeded';
  if (result.kind === 'refused') return result.class;
  return result.kind === 'unanswered' ? result.failure : 'invalid';
}

/** What one attempt means for the job: its end, another attempt, or nothing because the job is no longer ours. */
function decide(parts: RunJobParts, job: BegunJob, result: AttemptResult, signal: AbortSignal): Decision {
  if (result.kind === 'answered')
    return { kind: 'end', ending: answerOf('succeeded', result.response, result.usage) };
  if (signal.aborted && result.kind === 'unanswered') {
    if ((signal.reason as AbortReason) === 'lost') return { kind: 'drop' };
    return { kind: 'end', ending: failureOf('cancelled', 'cancelled') };
  }
  const final = finalEnding(result, job);
  const delayMs = mayRetry(parts, job, result) ? retryDelayMs(parts, job, result) : undefined;
  if (delayMs === undefined) return { kind: 'end', ending: final };
  const refusal = result.kind === 'refused' && !result.countsAsAttempt;
  return { kind: 'again', delayMs, refusal, reason: refusal ? 'cooldown' : 'retry' };
}

function finalEnding(result: Exclude<AttemptResult, { kind: 'answered' }>, job: BegunJob): Ending {
  if (result.kind === 'refused') return answerOf('failed', result.response, undefined);
  const mayHaveRun = result.kind === 'unanswered' && result.failure !== 'notSent';
  if (mayHaveRun && job.delivery === 'at_most_once') return failureOf('outcome_unknown', 'outcome_unknown');
  return failureOf('failed', result.code, { reason: result.reason });
}

function mayRetry({ settings }: RunJobParts, job: BegunJob, result: AttemptResult): boolean {
  if (job.delivery === 'at_most_once')
    return (
      result.kind === 'unanswered' && result.failure === 'notSent' && job.attempt < settings.attempts_max
    );
  if (result.kind === 'refused' && !result.retryable) return false;
  if (result.kind === 'refused' && !result.countsAsAttempt) return job.refusals < settings.refusals_max;
  return job.attempt - job.refusals < settings.attempts_max;
}

/** Delay before the next attempt; undefined when the provider asks for more patience than allowed. */
function retryDelayMs(
  { settings, random }: RunJobParts,
  job: BegunJob,
  result: AttemptResult,
): number | undefined {
  const asked = result.kind === 'refused' ? result.retryAfterMs : undefined;
  if (asked !== undefined) return asked > settings.retry_after_max_ms ? undefined : asked;
  return backoffMs(
    Math.max(1, job.attempt - job.refusals),
    settings.retry_base_ms,
    settings.retry_max_ms,
    random,
  );
}
