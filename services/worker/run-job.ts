import type { ProviderSettings, Settings } from '#config/schema.ts';
import { providerDialect } from '#shared/contracts/endpoint.ts';
import type { Attempt } from '#shared/contracts/job.ts';
import { outgoing, withMaximum } from '#shared/contracts/outgoing-body.ts';
import { ticketVersion } from '#shared/contracts/ticket.ts';
import type { Abandoned } from '#shared/jobs/abandon.ts';
import type { Begun, BegunJob, JobStore } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Random } from '#shared/kernel/random.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { PoolQueues } from '#shared/queue/pool-queues.ts';
import type { HeldTicket, Verdict } from '#shared/queue/ticket-worker.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { contextOf, inSpan, noteEvent, SpanKind, spans } from '#shared/telemetry/tracing.ts';
import type { Prices } from '#shared/tokens/price.ts';
import { type AttemptResult, resultName } from './attempt-result.ts';
import { boundSignal } from './bound-signal.ts';
import { callProvider } from './call-provider.ts';
import { chargedUsage, unusedOf } from './charged-usage.ts';
import { decide, isRefusal, latestMs, retryWaitMs } from './decide.ts';
import type { ProviderClient } from './http/provider-client.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { CredentialKeeper } from './limits/credential-keeper.ts';
import type { LimitWatch } from './limits/limit-watch.ts';
import { judgeQuality } from './quality/judge-quality.ts';
import type { SchemaJudge } from './quality/schema-judge.ts';
import type { RevokedCalls } from './revoked-calls.ts';
import type { LatencyBoard } from './routing/latency-board.ts';
import { followMoved, moveJob } from './routing/move-job.ts';
import type { SendWindow } from './send-window.ts';
import { type Ending, failureOf, type OutcomeSettler } from './settle-outcome.ts';
import type { StoreRetry } from './store-retry.ts';
import type { StoredBodies } from './stored-bodies.ts';
import type { LostAttempts } from './streams/lost-attempts.ts';
import type { ProviderStream } from './streams/provider-stream.ts';
import type { StreamedAttempt, StreamedAttempts } from './streams/streamed-attempts.ts';
import type { SuspectPlace } from './suspect-place.ts';
import { isOpenaiOwn } from './translate/provider-models.ts';

export interface RunJobParts {
  id: PoolId;
  workerId: string;
  provider: ProviderSettings;
  client: ProviderClient;
  jobs: JobStore;
  queues: PoolQueues;
  latencies: LatencyBoard;
  prices: Pick<Prices, 'priceOf'>;
  schemas: SchemaJudge;
  leases: LeaseKeeper;
  revoked: RevokedCalls;
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
  { jobs, leases, workerId, storeRetry, id: place }: RunJobParts,
  { ticket, token }: HeldTicket,
  mayRunSuspect: boolean,
): Promise<Begun> {
  const { tenant, job: jobId } = ticket;
  return storeRetry.run(() =>
    jobs.begin({
      tenant,
      jobId,
      token,
      owner: workerId,
      place,
      mayTakeOver: leases.mayTakeOver,
      mayRunSuspect,
    }),
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
    case 'moved':
      await followMoved(parts, held.ticket);
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
  const { leases, metrics, id, clock } = parts;
  const pool = poolName(id);
  const untilMs = latestMs(job);
  if (untilMs !== undefined && untilMs <= job.nowMs) {
    const limit = job.route!.timeoutMs!;
    return endUnstarted(parts, held, failureOf('failed', 'route_timeout', { limit }));
  }
  if (!parts.sendWindow.isOpen(held.grant) || parts.credentials.isHeld(held.grant)) {
    metrics.lateGrants.inc({ pool });
    return giveBack(parts, held);
  }
  const credential = credentialOf(parts, held, job);
  if (!credential) {
    await giveBack(parts, held);
    await clock.sleep(unknownCredentialPauseMs);
    return unsent;
  }
  if (parts.revoked.has(tenant, job) && (await parts.revoked.cancel(tenant, jobId))) {
    // Given back first: what was never sent is not charged.
    await giveBack(parts, held);
    return endUnstarted(parts, held, failureOf('cancelled', 'cancelled'));
  }
  if (job.attempt === 1) metrics.queueWaitSeconds.observe({ pool }, (job.startedMs - job.createdMs) / 1_000);
  const signal = leases.hold(tenant, jobId, held.token, job.axesText);
  metrics.runningJobs.inc({ pool });
  const bound = untilMs === undefined ? undefined : boundSignal(clock, signal, untilMs - job.nowMs);
  try {
    if (job.stream && job.attempt > 1)
      await parts.lost.note(held.ticket, { ...job, provider: id.provider }, job.attempt);
    const stream = parts.streams.open(held, job, providerDialect[parts.provider.dialect]);
    const made = await makeAttempt(parts, held, job, credential, bound?.signal ?? signal, stream?.sink);
    stream?.close();
    return await conclude(parts, held, job, { ...made, signal, stream });
  } finally {
    bound?.release();
    metrics.runningJobs.dec({ pool });
    leases.release(jobId, held.token);
  }
}

interface MadeAttempt {
  attempt: Attempt;
  result: AttemptResult;
  endedMs: number;
}

/** What the end of an attempt means for its credential, its job and its ticket. */
async function conclude(
  parts: RunJobParts,
  held: HeldTicket,
  job: BegunJob,
  {
    attempt,
    result,
    endedMs,
    signal,
    stream,
  }: MadeAttempt & { signal: AbortSignal; stream: StreamedAttempt | undefined },
): Promise<Verdict> {
  const { tenant, job: jobId } = held.ticket;
  const { jobs, id } = parts;
  const waitMs = retryWaitMs(parts, job, result);
  const coolMs = isRefusal(result) ? Math.min(waitMs, parts.settings.retry_after_max_ms) : undefined;
  const health = await parts.credentials.afterCall(held.grant, jobId, { result, endedMs, coolMs });
  const nowMs = job.nowMs + attempt.duration_ms;
  const credentials = parts.provider.credentials.length;
  const decision = decide(parts, job, result, { signal, waitMs, nowMs, credentials, ...health });
  const unused = unusedOf(result);
  const wasted = wastedOf(parts, job, result);
  if (decision.kind === 'again') {
    const { delayMs, refusal, reason } = decision;
    // A refused job waits at the head of its lane: for its credential, or for another one that has room.
    const waitsInLane = refusal && held.grant.credential !== undefined;
    const waits = { attempt, wasted, refusal, waitReason: reason, delayMs: waitsInLane ? 0 : delayMs };
    await parts.storeRetry.run(() => jobs.abandon(tenant, jobId, held.token, waits));
    return waitsInLane ? { kind: 'back', unused } : { kind: 'later', delayMs, unused };
  }
  const { ending } = decision;
  if (decision.kind === 'move') {
    const move = { to: decision.to, target: job.route!.targets[decision.to]! };
    if (!(await moveJob(parts, held, job, move, { attempt, wasted }, nowMs))) return { kind: 'back', unused };
  } else {
    const ended = await parts.settler.settle({ tenant, jobId, token: held.token, id, job, attempt, ending });
    if (ended) stream?.forget();
  }
  return { kind: 'done', usage: chargedUsage(ending, result, held, parts.provider.pools[id.pool]), unused };
}

/** What an answer of no use has cost, when its job goes on. */
function wastedOf(
  { id, prices }: RunJobParts,
  { model }: BegunJob,
  result: AttemptResult,
): Abandoned['wasted'] {
  if (result.kind !== 'broken' || !result.usage) return undefined;
  const { usage } = result;
  const { provider } = id;
  return { provider, model, usage, nanoUsd: prices.priceOf({ provider, model }, usage) };
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

/**
 * The body as its provider is to get it: that of a call that named a route, or a model it fell back from, with the model it
 * goes to now; that of a call that a budget counts, with a maximum of output. Any other as it is.
 */
function bodyFor(kind: ProviderSettings['dialect'], { endpoint, body, model, route, outputCap }: BegunJob) {
  if (!route && outputCap === undefined) return body;
  const stored = JSON.parse(body) as Record<string, unknown>;
  const named = route ? outgoing(endpoint, stored, model) : stored;
  if (outputCap === undefined) return JSON.stringify(named);
  const inChat = isOpenaiOwn(kind, model) ? 'max_completion_tokens' : 'max_tokens';
  return JSON.stringify(withMaximum(endpoint, named, outputCap, inChat));
}

async function makeAttempt(
  parts: RunJobParts,
  held: HeldTicket,
  job: BegunJob,
  credential: Credential,
  signal: AbortSignal,
  stream: ProviderStream | undefined,
): Promise<MadeAttempt> {
  const { provider, client, clock, metrics, id } = parts;
  const jobId = held.ticket.job;
  const startedAt = clock.monotonicMs();
  const attributes = {
    'sluice.pool': poolName(id),
    'sluice.attempt': job.attempt,
    'gen_ai.request.model': job.model,
  };
  const answer = await inSpan(spans.attempt, SpanKind.CLIENT, attributes, () =>
    callProvider(client, clock, {
      job: { ...job, body: bodyFor(provider.dialect, job) },
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
  const quality = job.route?.quality ?? provider.pools[id.pool]?.quality;
  const result = judgeQuality(parts.schemas, job, answer, quality);
  if (result.kind === 'answered' || result.kind === 'unanswered')
    parts.latencies.note(id.provider, job.model, durationMs);
  if ('response' in result) parts.limitWatch.heard(credential.id, result.response.headers, startedAt);
  const name = resultName(result);
  metrics.attempts.inc({ pool: poolName(id), credential: credential.id, result: name });
  metrics.providerSeconds.observe({ pool: poolName(id) }, durationMs / 1_000);
  const attempt: Attempt = {
    attempt: job.attempt,
    ...id,
    model: job.model,
    credential: credential.id,
    started_at: job.nowMs,
    duration_ms: Math.round(durationMs * 10) / 10,
    status: 'response' in result ? result.response.status : null,
    result: name,
  };
  return { attempt, result, endedMs };
}
