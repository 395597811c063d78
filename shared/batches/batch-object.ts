import { z } from 'zod';
import { usdOf } from '#shared/tokens/price.ts';
import { type BatchRecord, batchStatuses } from './batch-record.ts';

const moment = z.int().optional().describe('Seconds since the epoch.');

/** The batch object of OpenAI's API, and when it should be done. */
export const batchObject = z
  .object({
    id: z.string(),
    object: z.literal('batch'),
    endpoint: z.string(),
    model: z.string().optional(),
    errors: z
      .object({
        object: z.literal('list'),
        data: z.array(
          z.object({
            code: z.string(),
            message: z.string(),
            param: z.string().nullable(),
            line: z.int().nullable(),
          }),
        ),
      })
      .optional(),
    input_file_id: z.string(),
    completion_window: z.string(),
    status: z.enum(batchStatuses),
    output_file_id: z.string().optional(),
    error_file_id: z.string().optional(),
    created_at: z.int().describe('Seconds since the epoch.'),
    in_progress_at: moment,
    expires_at: moment,
    finalizing_at: moment,
    completed_at: moment,
    failed_at: moment,
    expired_at: moment,
    cancelling_at: moment,
    cancelled_at: moment,
    request_counts: z.object({ total: z.int(), completed: z.int(), failed: z.int() }),
    usage: z.object({
      input_tokens: z.int(),
      input_tokens_details: z.object({ cached_tokens: z.int() }),
      output_tokens: z.int(),
      output_tokens_details: z.object({ reasoning_tokens: z.int() }),
      total_tokens: z.int(),
      cost_usd: z.number().describe('What the answers have cost, as far as their prices are known.'),
    }),
    metadata: z.record(z.string(), z.string()).nullable(),
    estimated_completion: z
      .int()
      .nullable()
      .describe('When the last line should be done at the present pace, seconds since the epoch.'),
  })
  .meta({ id: 'Batch' });

export type BatchObject = z.infer<typeof batchObject>;

const seconds = (ms: number | undefined) => (ms === undefined ? undefined : Math.floor(ms / 1_000));

/** Remaining lines at the pace of the last ones; never after the batch expires, and unknown before the first line. */
function estimatedCompletion(
  { status, counts, linesPerSecond, atMs }: BatchRecord,
  nowMs: number,
): number | null {
  const ended = atMs.completed ?? atMs.failed ?? atMs.expired ?? atMs.cancelled;
  if (ended !== undefined) return seconds(ended)!;
  const left = counts.total - counts.completed - counts.failed;
  if (status === 'validating' || (left > 0 && linesPerSecond <= 0)) return null;
  const leftMs = left === 0 ? 0 : (left / linesPerSecond) * 1_000;
  return Math.ceil(Math.min(nowMs + leftMs, atMs.expires ?? Number.POSITIVE_INFINITY) / 1_000);
}

export function toBatchObject(batch: BatchRecord, nowMs: number): BatchObject {
  const { atMs, usage } = batch;
  return {
    id: batch.id,
    object: 'batch',
    endpoint: batch.endpoint,
    model: batch.model,
    errors: batch.errors && { object: 'list', data: batch.errors },
    input_file_id: batch.inputFileId,
    completion_window: batch.completionWindow,
    status: batch.status,
    output_file_id: batch.outputFileId,
    error_file_id: batch.errorFileId,
    created_at: seconds(atMs.created)!,
    in_progress_at: seconds(atMs.in_progress),
    expires_at: seconds(atMs.expires),
    finalizing_at: seconds(atMs.finalizing),
    completed_at: seconds(atMs.completed),
    failed_at: seconds(atMs.failed),
    expired_at: seconds(atMs.expired),
    cancelling_at: seconds(atMs.cancelling),
    cancelled_at: seconds(atMs.cancelled),
    request_counts: batch.counts,
    usage: {
      input_tokens: usage.inputTokens,
      input_tokens_details: { cached_tokens: usage.cachedTokens },
      output_tokens: usage.outputTokens,
      output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
      total_tokens: usage.inputTokens + usage.outputTokens,
      cost_usd: usdOf(usage.nanoUsd),
    },
    metadata: batch.metadata,
    estimated_completion: estimatedCompletion(batch, nowMs),
  };
}
