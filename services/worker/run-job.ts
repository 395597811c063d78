import type { ProviderSettings, Settings } from '#config/schema.ts';
import { providerDialect } from '#shared/contracts/endpoint.ts';
import type { Attempt } from '#shared/contracts/job.ts';
import { ticketVersion } from '#shared/contracts/ticket.ts';
import type { Begun, BegunJob, JobStore } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Random } from '#shared/kernel/random.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { HeldTicket, Verdict } from '#shared/queue/ticket-worker.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { contextOf, inSpan, noteEvent, SpanKind, spans } from '#shared/telemetry/tracing.ts';
import type { AttemptResult } from './attempt-result.ts';
import { callProvider } from './call-provider.ts';
import { chargedUsage, unusedOf } from './charged-usage.ts';
import { backoffMs } from './failures/backoff.ts';
import type { ProviderClient } from './http/provider-client.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { CredentialKeeper } from './limits/credential-keeper.ts';
import type { LimitWatch } from './limits/limit-watch.ts';
import type { SendWindow } from './send-window.ts';
import { answerOf, type Ending, failureOf, type OutcomeSettler } from './settle-outcome.ts';
import type { StoreRetry } from './store-retry.ts';
import type { StoredBodies } from './stored-bodies.ts';
import type { LostAttempts } from './streams/lost-attempts.ts';
import type { ProviderStream } from './streams/provider-stream.ts';
import type { StreamedAttempts } from './streams/streamed-attempts.ts';
import type { SuspectPlace } from './suspect-place.ts';

export interface RunJobParts {
  id: PoolId;
  workerId: string;
  provider: ProviderSettings;
  client: ProviderClient;
  jobs: JobStore;
  leases: LeaseKeeper;
  settler: OutcomeSettler;
  storeRetry: StoreRetry;
  storedBodies: StoredBodies;
  suspects: SuspectPlace;
  sendWindow: SendWindow;
  limitWatch: LimitWatch;
  streams: StreamedAttempts;
  lost: LostAttempts;
  credentials: CredentialKeeper;
  settings: Settings['jobs'];
  metrics: Metrics;
  clock: Clock;
  random: Random;
}

/** Nothing was sent: the grant is free for others. */
const done: Verdict = { kind: 'done', unused: 'all' };
const later = (delayMs: number): Verdict => ({ kind: 'later', delayMs, unused: 'all' });
const unsent: Verdict = { kind: 'back', unused: 'all' };
/** A ticket of a newer version waits for a newer worker. */
const newerTicketDelayMs = 30_000;
/** Pause before a grant for a credential that this process does not know goes back: its configuration may be on its way. */
const unknownCredentialPauseMs = 200;
/** Pause of a job whose request cannot be read because the blob store is away. */
const bodyAwayPauseMs = 5_000;
/** Pause of a job that must wait until the suspect before it is done. */
const suspectPauseMs = 500;

type Decision =
  | { kind: 'end'; ending: Ending }
  | { kind: 'again'; delayMs: number; refusal: boolean; reason: string };

/** begin → send → settle → complete, for one ticket. The branching of the worker is here and nowhere else. */
export async function runJob(parts: RunJobParts, held: HeldTicket): Promise<Verdict> {
  if (held.ticket.v > ticketVersion) return later(newerTicketDelayMs);
  const attributes = {
    'sluice.tenant': held.ticket.tenant,
    'sluice.job': held.ticket.job,
    'sluice.pool': poolName(parts.id),
  };
  return inSpan(
    spans.run,
    SpanKind.CONSUMER,
    attributes,
    () => {
      noteDispatch(parts, held);
      return beginAndRun(parts, held);
    },
    contextOf(held.traceMetadata),
  );
}

/** Counts the decision by which the ticket came here, and notes it on the span of the run. */
function noteDispatch({ id, metrics }: RunJobParts, { ticket, grant }: HeldTicket): void {
  const pool = poolName(id);
  const decision = grant.oversize ? 'oversize' : 'granted';
  const credential = grant.credential ?? 'none';
  metrics.dispatchDecisions.inc({
    tenant: metrics.tenantLabel(ticket.tenant),
    pool,
    credential,
    decision,
  });
  noteEvent('sluice.dispatch', {
    'sluice.tenant': ticket.tenant,
    'sluice.pool': pool,
    'sluice.credential': credential,
    'sluice.algorithm': 'vtc',
    'sluice.decision': decision,
  });
}

const poolName = (id: PoolId) => `${id.provider}/${id.pool}`;

async function beginAndRun(parts: RunJobParts, held: HeldTicket): Promise<Verdict> {
  if (held.grant.oversize) return endUnstarted(parts, held, tooLarge(parts, held));
  const begun = await begin(parts, held, false);
  if (begun.kind !== 'suspect') return afterBegin(parts, held, begun);
  const ran = await parts.suspects.run(async () => afterBegin(parts, held, await begin(parts, held, true)));
  return ran ?? later(suspectPauseMs);
}

/** Only when a ceiling shrank after the call was accepted: accept refuses what can never fit. */
function tooLarge({ id }: RunJobParts, { ticket }: HeldTicket): Ending {
  const tokens = (ticket.input ?? 0) + (ticket.max ?? 0);
  return failureOf('failed', 'request_exceeds_ceiling', { tokens, pool: poolName(id) });
}

/** Sent again until it is answered: the same token is granted the same attempt. */
function begin(
  { jobs, leases, workerId, storeRetry }: RunJobParts,
  { ticket, token }: HeldTicket,
  mayRunSuspect: boolean,
): Promise<Begun> {
  const { tenant, job: jobId } = ticket;
  return storeRetry.run(() =>
    jobs.begin({ tenant, jobId, token, owner: workerId, mayTakeOver: leases.mayTakeOver, mayRunSuspect }),
  );
}

async function afterBegin(parts: RunJobParts, held: HeldTicket, begun: Begun): Promise<Verdict> {
  const { settings } = parts;
  switch (begun.kind) {
    case 'begun':
      return begun.job.requestBlob === undefined
        ? runBegun(parts, held, begun.job)
        : runStored(parts, held, begun.job, begun.job.requestBlob);
    case 'busy':
      return later(Math.min(begun.remainingMs, settings.busy_recheck_ms));
    case 'early':
      return later(begun.remainingMs);
    case 'suspect':
      return later(suspectPauseMs);
    case 'settled':
    case 'gone':
      return done;
    case 'late':
      return endUnstarted(parts, held, failureOf('expired', 'expired'));
    case 'cancelled':
      return endUnstarted(parts, held, failureOf('cancelled', 'cancelled'));
    case 'unknown':
      return endUnstarted(parts, held, failureOf('outcome_unknown', 'outcome_unknown'));
    case 'crashed':
      return endUnstarted(parts, held, failureOf('failed', 'worker_crashed', { crashes: begun.crashes }));
  }
}

async function endUnstarted(
  { settler, id, lost }: RunJobParts,
  { ticket }: HeldTicket,
  ending: Ending,
): Promise<Verdict> {
  await lost.noteLast(ticket);
  await settler.settleUnstarted(ticket.tenant, ticket.job, id, ending);
  return done;
}

/** A job whose request is kept outside of its record: nothing is sent, and nothing lost, when it cannot be read. */
async function runStored(
  parts: RunJobParts,
  held: HeldTicket,
  job: BegunJob,
  blob: string,
): Promise<Verdict> {
  const request = await parts.storedBodies.request(held.ticket.tenant, blob);
  if (request === 'gone')
    return endUnstarted(parts, held, failureOf('failed', 'body_gone', { part: 'body' }));
  if (request !== 'away') return runBegun(parts, held, { ...job, body: request.body });
  await giveBack(parts, held);
  return later(bodyAwayPauseMs);
}

async function runBegun(parts: RunJobParts, held: HeldTicket, job: BegunJob): Promise<Verdict> {
  const { tenant, job: jobId } = held.ticket;
  const { jobs, leases, metrics, id, provider } = parts;
  const pool = poolName(id);
  if (!parts.sendWindow.isOpen(held.grant) || parts.credentials.isHeld(held.grant)) {
    metrics.lateGrants.inc({ pool });
    return giveBack(parts, held);
  }
  const credential = credentialOf(parts, held, job);
  if (!credential) {
    await giveBack(parts, held);
    await parts.clock.sleep(unknownCredentialPauseMs);
    return unsent;
  }
  if (job.attempt === 1) metrics.queueWaitSeconds.observe({ pool }, (job.startedMs - job.createdMs) / 1_000);
  const signal = leases.hold(tenant, jobId, held.token);
  metrics.runningJobs.inc({ pool });
  try {
    if (job.stream && job.attempt > 1)
      await parts.lost.note(held.ticket, { ...job, provider: id.provider }, job.attempt);
    const stream = parts.streams.open(held, job, providerDialect[parts.provider.dialect]);
    const { attempt, result, endedMs } = await makeAttempt(
      parts,
      held,
      job,
      credential,
      signal,
      stream?.sink,
    );
    stream?.close();
    const waitMs = retryWaitMs(parts, job, result);
    const coolMs = isRefusal(result) ? Math.min(waitMs, parts.settings.retry_after_max_ms) : undefined;
    const otherServes = await parts.credentials.afterCall(held.grant, jobId, { result, endedMs, coolMs });
    const decision = decide(parts, job, result, { signal, waitMs, otherServes });
    if (decision.kind === 'end') {
      const ended = await parts.settler.settle({
        tenant,
        jobId,
        token: held.token,
        id,
        job,
        attempt,
        ending: decision.ending,
      });
      if (ended) stream?.forget();
      const usage = chargedUsage(decision.ending, result, held, provider.pools[id.pool]);
      return { kind: 'done', usage, unused: unusedOf(result) };
    }
    const { delayMs, refusal, reason } = decision;
    // A refused job waits at the head of its lane: for its credential, or for another one that has room.
    const waitsInLane = refusal && held.grant.credential !== undefined;
    const waits = { attempt, refusal, waitReason: reason, delayMs: waitsInLane ? 0 : delayMs };
    await parts.storeRetry.run(() => jobs.abandon(tenant, jobId, held.token, waits));
    const unused = unusedOf(result);
    return waitsInLane ? { kind: 'back', unused } : { kind: 'later', delayMs, unused };
  } finally {
    metrics.runningJobs.dec({ pool });
    leases.release(jobId, held.token);
  }
}

async function giveBack({ storeRetry, jobs }: RunJobParts, { ticket, token }: HeldTicket): Promise<Verdict> {
  await storeRetry.run(() => jobs.giveBack(ticket.tenant, ticket.job, token));
  return unsent;
}

type Credential = ProviderSettings['credentials'][number];

/** The credential that was granted; any one in a pool without ceilings. A removed one, or one still to be read, is unknown. */
function credentialOf(
  { provider: { credentials } }: RunJobParts,
  { grant }: HeldTicket,
  job: BegunJob,
): Credential | undefined {
  if (grant.credential === undefined) return credentials[job.attempt % credentials.length];
  return credentials.find(({ id }) => id === grant.credential);
}

async function makeAttempt(
  parts: RunJobParts,
  held: HeldTicket,
  job: BegunJob,
  credential: Credential,
  signal: AbortSignal,
  stream: ProviderStream | undefined,
): Promise<{ attempt: Attempt; result: AttemptResult; endedMs: number }> {
  const { provider, client, clock, metrics, id } = parts;
  const jobId = held.ticket.job;
  const startedAt = clock.monotonicMs();
  const attributes = {
    'sluice.pool': poolName(id),
    'sluice.attempt': job.attempt,
    'gen_ai.request.model': job.model,
  };
  const result = await inSpan(spans.attempt, SpanKind.CLIENT, attributes, () =>
    callProvider(client, clock, {
      job,
      jobId,
      settings: provider,
      pool: id.pool,
      apiKey: credential.api_key,
      signal,
      stream,
    }),
  );
  const endedMs = clock.monotonicMs();
  const durationMs = endedMs - startedAt;
  if ('response' in result) parts.limitWatch.heard(credential.id, result.response.headers, startedAt);
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
  return { attempt, result, endedMs };
}

function resultName(result: AttemptResult): string {
  if (result.kind === 'answered') return 'succeeded';
  if (result.kind === 'refused') return result.class;
  if (result.kind === 'cut') return result.code === 'cancelled' ? 'aborted' : 'cut';
  return result.kind === 'unanswered' ? result.failure : 'invalid';
}

/** What one attempt means for the job: its end, or another attempt. */
function decide(
  parts: RunJobParts,
  job: BegunJob,
  result: AttemptResult,
  { signal, waitMs, otherServes }: { signal: AbortSignal; waitMs: number; otherServes: boolean },
): Decision {
  if (result.kind === 'answered') {
    const { response, usage, streamed } = result;
    return { kind: 'end', ending: { kind: 'answer', state: 'succeeded', response, usage, streamed } };
  }
  if (result.kind === 'cut') return { kind: 'end', ending: cutEnding(result) };
  const final = finalEnding(result, job);
  const elsewhere = otherServes && mayWait(parts, job);
  const again = elsewhere || (mayRetry(parts, job, result) && waitMs <= parts.settings.retry_after_max_ms);
  const cancelled = signal.aborted && (result.kind === 'unanswered' || again);
  if (cancelled) return { kind: 'end', ending: failureOf('cancelled', 'cancelled') };
  if (!again) return { kind: 'end', ending: final };
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
const isRefusal = (result: AttemptResult) => result.kind === 'refused' && !result.countsAsAttempt;

function finalEnding(result: Exclude<AttemptResult, { kind: 'answered' | 'cut' }>, job: BegunJob): Ending {
  if (result.kind === 'refused') return answerOf('failed', result.response, undefined);
  const mayHaveRun = result.kind === 'unanswered' && result.failure !== 'notSent';
  if (mayHaveRun && job.delivery === 'at_most_once') return failureOf('outcome_unknown', 'outcome_unknown');
  return failureOf('failed', result.code, { reason: result.reason });
}

/** Whether a refusal, which is no attempt, may send the job back to its lane once more. */
const mayWait = ({ settings }: RunJobParts, job: BegunJob) =>
  job.delivery !== 'at_most_once' && job.refusals < settings.refusals_max;

function mayRetry(parts: RunJobParts, job: BegunJob, result: AttemptResult): boolean {
  const { settings } = parts;
  if (job.delivery === 'at_most_once')
    return (
      result.kind === 'unanswered' && result.failure === 'notSent' && job.attempt < settings.attempts_max
    );
  if (result.kind === 'refused' && !result.retryable) return false;
  if (isRefusal(result)) return mayWait(parts, job);
  // What passed the bound once will pass it again, and every time it is paid for.
  if (result.kind === 'unanswered' && result.failure === 'tooLarge') return false;
  return job.attempt - job.refusals < settings.attempts_max;
}

/** Delay before the next attempt: what the provider asks for, or a backoff with full jitter. */
function retryWaitMs({ settings, random }: RunJobParts, job: BegunJob, result: AttemptResult): number {
  const asked = result.kind === 'refused' ? result.retryAfterMs : undefined;
  if (asked !== undefined) return asked;
  const failures = isRefusal(result) ? job.refusals + 1 : Math.max(1, job.attempt - job.refusals);
  return backoffMs(failures, settings.retry_base_ms, settings.retry_max_ms, random);
}
