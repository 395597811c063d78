import { z } from 'zod';

/** The parts of a batch object that the command line uses; the rest passes through with --json. */
export const batchShape = z.looseObject({
  id: z.string(),
  status: z.string(),
  created_at: z.number(),
  model: z.string().optional(),
  errors: z
    .object({
      data: z.array(z.object({ code: z.string(), message: z.string(), line: z.number().nullable() })),
    })
    .optional(),
  request_counts: z.object({ total: z.number(), completed: z.number(), failed: z.number() }),
  usage: z
    .looseObject({
      input_tokens: z.number(),
      output_tokens: z.number(),
      total_tokens: z.number(),
      cost_usd: z.number().optional(),
    })
    .optional(),
  metadata: z.record(z.string(), z.string()).nullish(),
  estimated_completion: z.number().nullish(),
});
export type Batch = z.infer<typeof batchShape>;

export const batchPage = z.object({
  data: z.array(batchShape),
  has_more: z.boolean(),
  last_id: z.string().nullable(),
});

const ends = ['completed', 'failed', 'expired', 'cancelled'];
export const isEnded = ({ status }: Batch) => ends.includes(status);
