import { z } from 'zod';

/** Version of the ticket; a worker that meets a newer one puts it back instead of failing it. */
export const ticketVersion = 1;

const tokens = z.int().min(0);

/** What a BullMQ job carries: a reference to the record and what decides its place, never the prompt. */
export const ticketSchema = z.object({
  v: z.number().int(),
  tenant: z.string(),
  job: z.string(),
  /** 0 is served first, 9 last, within the tenant's lane. */
  class: z.int().min(0).max(9).optional(),
  /** Estimated input tokens. */
  input: tokens.optional(),
  /** Expected output tokens. */
  output: tokens.optional(),
  /** Most output tokens, as the provider counts them. */
  max: tokens.optional(),
});
export type Ticket = z.infer<typeof ticketSchema>;
