import { z } from 'zod';

/** Version of the ticket; a worker that meets a newer one puts it back instead of failing it. */
export const ticketVersion = 1;

/** What a BullMQ job carries: a reference to the record, never the prompt. */
export const ticketSchema = z.object({ v: z.number().int(), tenant: z.string(), job: z.string() });
export type Ticket = z.infer<typeof ticketSchema>;
