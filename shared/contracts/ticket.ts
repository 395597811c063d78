import { z } from 'zod';

/** Version of the ticket; a worker that meets a newer one puts it back instead of failing it. */
export const ticketVersion = 1;

const tokens = z.number().int().nonnegative();

/**
 * What a BullMQ job carries: a reference to the record, never the prompt, and what its pool needs to place it in the
 * tenant's lane. A ticket without the latter (from an older ingress) has the cost of one token and no deadline.
 */
export const ticketSchema = z.object({
  v: z.number().int(),
  tenant: z.string(),
  job: z.string(),
  /** Estimated input tokens, output tokens the tenant usually gets, and the most it asked for. */
  input: tokens.optional(),
  output: tokens.optional(),
  max: tokens.optional(),
  /** 0 is served first, 9 last; a BullMQ priority goes before it. */
  class: z.number().int().min(0).max(9).optional(),
  /** When it is to have started; without that, when it was accepted: milliseconds since the epoch. */
  deadline: z.number().int().nonnegative().optional(),
  arrival: z.number().int().nonnegative().optional(),
});
export type Ticket = z.infer<typeof ticketSchema>;
