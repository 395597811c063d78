import { z } from 'zod';
import { attemptSchema, jobStates } from '#shared/contracts/job.ts';
import { usdOf } from '#shared/tokens/price.ts';
import type { JobView } from './job-record.ts';

const moment = z.int().nullable().describe('Seconds since the epoch.');

/** The job object of the API. */
export const jobObject = z
  .object({
    id: z.string(),
    object: z.literal('job'),
    status: z.enum([...jobStates, 'scheduled']),
    endpoint: z.string(),
    model: z.string(),
    provider: z.string(),
    created_at: z.int().describe('Seconds since the epoch.'),
    started_at: moment,
    finished_at: moment,
    attempts: z.array(attemptSchema),
    wait_reason: z
      .string()
      .nullable()
      .describe(
        'Why a waiting job waits: fair_share, rpm, tpm, itpm, otpm, rpd, tpd, concurrency, cooldown, breaker, ramp, tenant_concurrency, paused, retry, quota or scheduled.',
      ),
    wait_quota: z
      .string()
      .nullable()
      .describe('The quota of its own that a job waits for, such as `customer+user requests`.'),
    position: z.int().nullable().describe('Jobs of the same tenant that stand before it in its pool.'),
    estimated_start: moment,
    usage: z
      .object({
        input_tokens: z.int().describe('With what the prompt cache read and wrote.'),
        output_tokens: z.int(),
        cached_input_tokens: z.int(),
        reasoning_tokens: z.int(),
      })
      .nullable(),
    cost_usd: z.number().nullable().describe('What the answer has cost; null where no price is known.'),
    cached: z.boolean().describe('Whether the answer came from the cache: then there was no attempt.'),
    cache: z
      .object({
        status: z.enum(['hit', 'semantic_hit']),
        age_seconds: z.int(),
        similarity: z.number().nullable().describe('Cosine similarity of the two questions.'),
        saved_input_tokens: z.int(),
        saved_output_tokens: z.int(),
        saved_usd: z.number().nullable().describe('Null where no price is known.'),
      })
      .nullable()
      .describe('How the cache answered, and what that saved.'),
    error: z.object({ code: z.string(), status: z.int() }).nullable(),
    metadata: z.record(z.string(), z.string()),
    webhook: z.string().nullable().describe('Endpoint or URL that was named for this job alone.'),
    urls: z.object({ self: z.string(), result: z.string(), events: z.string(), cancel: z.string() }),
  })
  .meta({ id: 'Job' });

export type JobObject = z.infer<typeof jobObject>;

const seconds = (ms: number | undefined) => (ms === undefined ? null : Math.floor(ms / 1_000));

/** What the pool says of a waiting job; undefined when it was not asked, or the job does not stand in a lane. */
export interface WaitExplanation {
  waitReason?: string | undefined;
  position?: number | undefined;
  /** From now, milliseconds. */
  estimatedStartMs?: number | undefined;
}

function waitReason(job: JobView, scheduled: boolean, waiting: WaitExplanation | undefined): string | null {
  if (job.state !== 'queued') return null;
  if (scheduled) return 'scheduled';
  if (job.waitQuota !== undefined) return 'quota';
  if (waiting?.position === undefined) return job.waitReason ?? 'fair_share';
  return waiting.position === 0 ? (waiting.waitReason ?? 'fair_share') : 'fair_share';
}

function errorOf({ state, head }: JobView): JobObject['error'] {
  if (!head || state === 'succeeded') return null;
  return { code: head.error ?? 'provider_error', status: head.status };
}

function usageOf({ usage }: JobView): JobObject['usage'] {
  if (!usage) return null;
  return {
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    cached_input_tokens: usage.cachedInputTokens ?? 0,
    reasoning_tokens: usage.reasoningTokens ?? 0,
  };
}

function cacheOf({ head }: JobView): JobObject['cache'] {
  if (!head?.cached) return null;
  const { status, ageSeconds, similarity, savedInputTokens, savedOutputTokens, savedNanoUsd } = head.cached;
  return {
    status,
    age_seconds: ageSeconds,
    similarity: similarity ?? null,
    saved_input_tokens: savedInputTokens,
    saved_output_tokens: savedOutputTokens,
    saved_usd: savedNanoUsd === undefined ? null : usdOf(savedNanoUsd),
  };
}

/** The API's view of a record. `nowMs` decides whether a queued job is still scheduled. */
export function toJobObject(
  job: JobView,
  baseUrl: string,
  nowMs: number,
  waiting?: WaitExplanation,
): JobObject {
  const scheduled = job.state === 'queued' && (job.runAtMs ?? 0) > nowMs;
  const self = `${baseUrl}/v1/jobs/${job.id}`;
  return {
    id: job.id,
    object: 'job',
    status: scheduled ? 'scheduled' : job.state,
    endpoint: job.endpoint,
    model: job.model,
    provider: job.provider,
    created_at: Math.floor(job.createdMs / 1_000),
    started_at: seconds(job.startedMs),
    finished_at: seconds(job.finishedMs),
    attempts: job.attempts,
    wait_reason: waitReason(job, scheduled, waiting),
    wait_quota: job.state === 'queued' ? (job.waitQuota ?? null) : null,
    position: waiting?.position ?? null,
    estimated_start:
      waiting?.estimatedStartMs === undefined ? null : seconds(nowMs + waiting.estimatedStartMs),
    usage: usageOf(job),
    cost_usd: job.head?.costNanoUsd === undefined ? null : usdOf(job.head.costNanoUsd),
    cached: job.head?.cached !== undefined,
    cache: cacheOf(job),
    error: errorOf(job),
    metadata: job.metadata,
    webhook: job.webhook ?? null,
    urls: { self, result: `${self}/result`, events: `${self}/events`, cancel: `${self}/cancel` },
  };
}
