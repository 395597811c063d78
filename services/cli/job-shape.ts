import { z } from 'zod';
import { costOf, formatSpan } from './table.ts';

/** The parts of a job object that are shown; the rest passes through with --json. */
export const jobShape = z.looseObject({
  id: z.string(),
  status: z.string(),
  model: z.string(),
  provider: z.string(),
  created_at: z.number(),
  finished_at: z.number().nullish(),
  wait_reason: z.string().nullish(),
  position: z.number().nullish(),
  estimated_start: z.number().nullish(),
  usage: z.object({ input_tokens: z.number(), output_tokens: z.number() }).nullish(),
  cost_usd: z.number().nullish(),
  error: z.object({ code: z.string(), status: z.number() }).nullish(),
});
export type Job = z.infer<typeof jobShape>;

/** Why it waits, how it failed, or what it used. */
export function detailOf(job: Job, nowMs: number): string {
  if (job.error) return `${job.error.code} (${job.error.status})`;
  if (job.usage)
    return `${job.usage.input_tokens} + ${job.usage.output_tokens} tokens${costOf(job.cost_usd, ', ')}`;
  const parts = [
    job.wait_reason ? `waits: ${job.wait_reason}` : '',
    typeof job.position === 'number' ? `${job.position} before it` : '',
    typeof job.estimated_start === 'number'
      ? `starts in about ${formatSpan(job.estimated_start * 1_000 - nowMs)}`
      : '',
  ];
  return parts.filter(Boolean).join(', ');
}
