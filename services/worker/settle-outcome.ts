import type { Settings } from '#config/schema.ts';
import type { Attempt, TerminalState, Usage } from '#shared/contracts/job.ts';
import { errorSettlement } from '#shared/jobs/error-settlement.ts';
import type { BegunJob, JobStore, Settlement } from '#shared/jobs/job-store.ts';
import type { ErrorCode } from '#shared/kernel/error-catalog.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { announce } from '#shared/results/announce.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';
import { type Prices, usdOf } from '#shared/tokens/price.ts';
import type { CacheWriter } from './cache-writer.ts';
import type { ProviderResponse } from './http/provider-client.ts';
import type { StoreRetry } from './store-retry.ts';
import type { StoredBodies } from './stored-bodies.ts';

/** How a job ends: with an answer of the provider, or with an error of ours. */
export type Ending =
  | {
      kind: 'answer';
      state: TerminalState;
      response: ProviderResponse;
      usage: Usage | undefined;
      streamed?: true | undefined;
      /** Our own name for what broke off a stream. */
      code?: ErrorCode | null;
    }
  /** `usage`: of an answer that is paid for, and not passed on. */
  | { kind: 'error'; state: TerminalState; error: SluiceError; usage?: Usage | undefined };

export function answerOf(state: TerminalState, response: ProviderResponse, usage: Usage | undefined): Ending {
  return { kind: 'answer', state, response, usage };
}

export function failureOf(
  state: TerminalState,
  code: ErrorCode,
  fields: Record<string, string | number> = {},
): Ending {
  return { kind: 'error', state, error: new SluiceError(code, { fields }) };
}

/** Headers that callers rely on: request ids, when to come back, and what a translation left out. */
const passedHeaders = [
  'x-request-id',
  'request-id',
  'retry-after',
  'retry-after-ms',
  'x-sluice-dropped-params',
];

export interface OutcomeSettlerOptions {
  jobs: JobStore;
  redis: RedisConnection;
  replies: Settings['replies'];
  storeRetry: StoreRetry;
  storedBodies: StoredBodies;
  cacheWriter: CacheWriter;
  prices: Prices;
  metrics: Metrics;
  log: Logger;
  /** Has jobs looked at that waited for a quota of which something is free now. */
  wake: (tenant: string, jobIds: readonly string[]) => Promise<void>;
}

export interface FinishedAttempt {
  tenant: string;
  jobId: string;
  /** Token under which the attempt was begun. */
  token: string;
  id: PoolId;
  job: BegunJob;
  attempt: Attempt;
  ending: Ending;
}

/** Stores how jobs end, for as long as it takes, and then tells who waits. A finished answer is never thrown away. */
export class OutcomeSettler {
  readonly #options: OutcomeSettlerOptions;

  constructor(options: OutcomeSettlerOptions) {
    this.#options = options;
  }

  /**
   * Settles the end of an attempt of this worker. An answer counts even if the lease is lost by now, for it is paid
   * for; a failure then does not, because another worker may yet succeed. False when the job goes on elsewhere.
   */
  async settle({ tenant, jobId, token, id, job, attempt, ending }: FinishedAttempt): Promise<boolean> {
    const timing = {
      attempts: job.attempt,
      queueMs: job.startedMs - job.createdMs,
      providerMs: attempt.duration_ms,
    };
    const subject = {
      tenant,
      jobId,
      provider: id.provider,
      model: job.model,
      endpoint: job.endpoint,
      ...timing,
    };
    const holder = ending.state === 'succeeded' ? undefined : token;
    const settlement = this.#priced(settlementOf(subject, ending, attempt));
    // Durable before the record names it.
    const bodyBlob = await this.#options.storedBodies.keepAnswer(tenant, jobId, settlement.body);
    const requestBlob = job.requestBlob;
    const ended = await this.#settleAndTell({ ...settlement, holder, bodyBlob, requestBlob }, id);
    if (ended) this.#options.cacheWriter.offer(job, settlement);
    return ended;
  }

  /** Settles a job for which no request is under way: it never began, or the worker that ran it was lost. */
  async settleUnstarted(tenant: string, jobId: string, id: PoolId, ending: Ending): Promise<void> {
    const { jobs, storeRetry } = this.#options;
    const view = await storeRetry.run(() => jobs.view(tenant, jobId));
    if (!view) return;
    const subject = { ...view, jobId, attempts: view.attempt, queueMs: 0, providerMs: 0 };
    // A job that expired or was cancelled may have begun elsewhere by now.
    const onlyWaiting = view.state === 'queued';
    const settlement = settlementOf(subject, ending, undefined);
    await this.#settleAndTell({ ...settlement, onlyWaiting, requestBlob: view.requestBlob }, id);
  }

  #priced(settlement: Settlement): Settlement {
    const { head, usage } = settlement;
    const cost = usage && this.#options.prices.priceOf(head, usage);
    return cost === undefined ? settlement : { ...settlement, head: { ...head, costNanoUsd: cost } };
  }

  async #settleAndTell(settlement: Settlement, id: PoolId): Promise<boolean> {
    const { jobs, storeRetry } = this.#options;
    const settled = await storeRetry.run(() => jobs.settle(settlement));
    if (settled.kind !== 'settled') return settled.kind !== 'running';
    const { metrics, redis, replies, log, wake } = this.#options;
    if (settled.woken.length > 0)
      wake(settlement.tenant, settled.woken).catch((error: unknown) => {
        log.warn({ reason: String(error) }, 'jobs that wait for a quota were not woken');
      });
    const { state, usage } = settlement;
    const tenant = metrics.tenantLabel(settlement.tenant);
    const pool = `${id.provider}/${id.pool}`;
    metrics.jobsFinished.inc({ tenant, pool, state });
    if (usage) countUsage(metrics, settlement, usage, { tenant, pool });
    // Not awaited: the ticket is completed in the same round trip, and a lost announcement costs one re-read.
    announce(redis, replies, settled.waiters, settlement.head, settlement.body).catch((error: unknown) => {
      log.warn({ job: settlement.head.job, reason: String(error) }, 'announcement failed');
    });
    return true;
  }
}

function countUsage(
  metrics: Metrics,
  { head }: Settlement,
  usage: Usage,
  place: { tenant: string; pool: string },
): void {
  const labels = { ...place, model: metrics.modelLabel(head.model) };
  metrics.tokens.inc({ ...labels, direction: 'input' }, usage.inputTokens);
  metrics.tokens.inc({ ...labels, direction: 'output' }, usage.outputTokens);
  if (usage.cachedInputTokens)
    metrics.tokens.inc({ ...labels, direction: 'cached' }, usage.cachedInputTokens);
  if (head.costNanoUsd !== undefined) metrics.cost.inc(labels, usdOf(head.costNanoUsd));
}

interface Subject {
  tenant: string;
  jobId: string;
  provider: string;
  model: string;
  endpoint: BegunJob['endpoint'];
  attempts: number;
  queueMs: number;
  providerMs: number;
}

function settlementOf(subject: Subject, ending: Ending, attempt: Attempt | undefined): Settlement {
  if (ending.kind === 'error')
    return { ...errorSettlement(subject, ending.state, ending.error), attempt, usage: ending.usage };
  const { tenant, jobId, provider, model, attempts, queueMs, providerMs } = subject;
  const { state, response, usage, streamed, code = null } = ending;
  const headers = Object.fromEntries(
    passedHeaders.flatMap((name) => (response.headers[name] ? [[name, response.headers[name]]] : [])),
  );
  const contentType = response.headers['content-type'] ?? 'application/json';
  const timing = { attempts, queueMs, providerMs };
  const head = {
    job: jobId,
    state,
    provider,
    model,
    status: response.status,
    contentType,
    headers,
    error: code,
    ...(streamed ? { streamed } : {}),
    ...timing,
  };
  return { tenant, state, head, body: response.body, usage, attempt };
}
