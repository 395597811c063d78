import { z } from 'zod';

const ref = z
  .union([z.string().max(100), z.int()])
  .optional()
  .describe('Comes back with the answer.');
/** Jobs one message may name. */
export const namedMax = 1_000;
const jobs = z.array(z.string().max(100)).min(1).max(namedMax);
const batch = z.string().max(100);
const eventIdText = z.string().max(40);
const all = z.literal(true).optional().describe('All jobs of the tenant, from now on.');

/** What a client may say over a socket. */
export const clientMessage = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('subscribe'),
    ref,
    jobs: jobs.optional(),
    batch: batch.optional().describe('All lines of this batch.'),
    all,
    after: z
      .union([eventIdText, z.record(z.string().max(100), eventIdText), z.int().min(0)])
      .optional()
      .describe(
        'With `jobs` the id of the last event seen: of the one job, or of each job by its id. With `batch` the number of a line, with `all` the id of a job: what comes after it.',
      ),
  }),
  z.strictObject({
    type: z.literal('unsubscribe'),
    ref,
    jobs: jobs.optional(),
    batch: batch.optional(),
    all,
  }),
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
 * text. 4401: the key was revoked. 4402: the key has expired. 4403: the key may no longer be used here. 4408: the reader took nothing for too long. 4410: it did not answer pings. 4429: too many messages, or
 * too many jobs named in a second.
 */
export const closeCodes = {
  goingAway: 1001,
  notText: 4400,
  keyRevoked: 4401,
  keyExpired: 4402,
  notAllowed: 4403,
  stalled: 4408,
  silent: 4410,
  tooMany: 4429,
} as const;
