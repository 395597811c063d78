import { z } from 'zod';

const ref = z
  .union([z.string().max(100), z.int()])
  .optional()
  .describe('Comes back with the answer.');
const jobs = z.array(z.string().max(100)).min(1).max(1_000);
const eventIdText = z.string().max(40);

/** What a client may say over a socket. */
export const clientMessage = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('subscribe'),
    ref,
    jobs,
    after: z
      .union([eventIdText, z.record(z.string().max(100), eventIdText)])
      .optional()
      .describe('Id of the last event seen: of the one job, or of each job by its id.'),
  }),
  z.strictObject({ type: z.literal('unsubscribe'), ref, jobs }),
  z.strictObject({
    type: z.literal('submit'),
    ref,
    job: z.looseObject({}).describe('As for POST /v1/jobs.'),
    subscribe: z.boolean().default(true).describe('Follow the job at once.'),
  }),
  z.strictObject({ type: z.literal('cancel'), ref, job: z.string().max(100) }),
  z.strictObject({ type: z.literal('ping'), ref }),
]);
export type ClientMessage = z.infer<typeof clientMessage>;

/**
 * Why a socket was closed. 1001: this server stops. 1009: a message was too large (sent by the library). 4400: not JSON
 * text. 4408: the reader took nothing for too long. 4410: it did not answer pings. 4429: too many messages.
 */
export const closeCodes = {
  goingAway: 1001,
  notText: 4400,
  stalled: 4408,
  silent: 4410,
  tooMany: 4429,
} as const;
