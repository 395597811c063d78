import { z } from 'zod';

const maxDelayMs = 3_600_000;
const maxOutputTokens = 200_000;

/** One deviation from a good answer. Fields combine, e.g. `status` with `delayMs`. */
export const faultSchema = z.strictObject({
  /** Answers with this status and the dialect's own body for it. */
  status: z.int().min(200).max(599).optional(),
  /** Which kind of 429 or overload it is. Without `status`: 429 (`capacity`: 503 at OpenAI, 529 at Anthropic). */
  kind: z.enum(['quota', 'ramp', 'capacity', 'billing', 'oversize', 'concurrency']).optional(),
  /** Sent as Retry-After, as it is, valid or not. */
  retryAfter: z.string().max(200).optional(),
  /** Sent as retry-after-ms, and named in the text of a quota refusal. */
  retryAfterMs: z.number().min(0).optional(),
  /** Accepts the request and never answers. */
  hang: z.literal(true).optional(),
  /** Sends so many bytes of the body and then nothing more. */
  hangAfterBytes: z.int().min(0).optional(),
  /** Closes the socket in the middle: after so many chunks of a stream (true = 2), or half of a JSON body. */
  halfClose: z.union([z.literal(true), z.int().min(0)]).optional(),
  /** Sends everything and then resets the connection instead of ending the response. */
  resetAfterLast: z.literal(true).optional(),
  /** Resets the connection before a single byte. */
  dropBeforeResponse: z.literal(true).optional(),
  /** A good status with a body that is not JSON. */
  garbage: z.literal(true).optional(),
  /** An HTML error page, as a proxy in between sends it (502 unless `status` says otherwise). */
  html: z.literal(true).optional(),
  /** An error event after so many pieces of a stream that began well. */
  streamErrorAfter: z.int().min(0).optional(),
  /** An event that is not JSON after so many pieces of a stream that began well; the rest follows. */
  garbageAfter: z.int().min(0).optional(),
  /** Time between the pieces of a stream, instead of the configured one. */
  perTokenMs: z.number().min(0).max(maxDelayMs).optional(),
  /** Replaces the answer's `usage`, whatever it is. */
  usage: z.unknown().optional(),
  /** Leaves `usage` out altogether. */
  omitUsage: z.literal(true).optional(),
  /** Added before the first byte. */
  delayMs: z.number().min(0).max(maxDelayMs).optional(),
  /** Length of the answer; the request's own maximum still holds. */
  outputTokens: z.int().min(0).max(maxOutputTokens).optional(),
  /** Answers with a call of the first tool. */
  toolCall: z.literal(true).optional(),
  /** Sent instead of the answer: text as it is, anything else as JSON. */
  body: z.unknown().optional(),
  /** Added to the response, replacing headers of the same name. */
  headers: z.record(z.string().regex(/^[A-Za-z0-9-]+$/), z.string().regex(/^[\t\x20-\x7e]*$/)).optional(),
});

export const queuedFaultSchema = z.strictObject({
  match: z
    .strictObject({
      path: z.string().optional(),
      model: z.string().optional(),
      clientRequestId: z.string().optional(),
      promptContains: z.string().min(1).optional(),
    })
    .default({}),
  /** How many requests it hits. */
  times: z.int().positive().default(1),
  fault: faultSchema,
});

export type Fault = z.infer<typeof faultSchema>;
export type QueuedFault = z.infer<typeof queuedFaultSchema>;
