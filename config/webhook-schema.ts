import { z } from 'zod';
import { count, milliseconds, seconds } from './setting-types.ts';

const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;
const daySeconds = 86_400;
const attemptsMax = 20;

/** The example schedule of Standard Webhooks 1.0.0: ten attempts over 75 h 35 min 5 s. */
const standardSchedule = [
  0,
  5_000,
  5 * minuteMs,
  30 * minuteMs,
  2 * hourMs,
  5 * hourMs,
  10 * hourMs,
  14 * hourMs,
  20 * hourMs,
  24 * hourMs,
];

export const webhooksSchema = z
  .strictObject({
    allow_private: z
      .boolean()
      .default(false)
      .describe(
        'Whether webhooks may go to private networks, over plain http and to any port. For development only: it lets every tenant reach your network.',
      ),
    ports: z
      .array(z.int().min(1).max(65_535))
      .min(1)
      .max(100)
      .default([443, 8443])
      .describe('Ports a webhook URL may name.'),
    ca_file: z
      .string()
      .optional()
      .describe(
        'File of certificates (PEM) of authorities that receivers may have theirs from, beside the public ones.',
      ),
    endpoints_max: count(50, 1, 1_000, 'Webhook endpoints of one tenant.'),
    retry_schedule_ms: z
      .array(
        z
          .int()
          .min(0)
          .max(7 * dayMs),
      )
      .min(1)
      .max(attemptsMax)
      .default(standardSchedule)
      .describe(
        'Pause before each attempt of a delivery; as many attempts as entries (the example of Standard Webhooks). Milliseconds.',
      ),
    retry_jitter: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe('A pause is lengthened by up to this share of itself, at random.'),
    retry_after_max_ms: milliseconds(
      dayMs,
      1_000,
      7 * dayMs,
      'Longest Retry-After of a receiver that is waited for.',
    ),
    attempt_timeout_ms: milliseconds(
      15_000,
      50,
      minuteMs,
      'Longest time one attempt may take, from the look-up of the name to the last byte.',
    ),
    connect_timeout_ms: milliseconds(5_000, 50, minuteMs, 'Longest wait for a connection to a receiver.'),
    response_max_bytes: count(
      65_536,
      0,
      1_048_576,
      'Bytes of an answer that are read, and thrown away; past it the connection is closed. Its status counts all the same.',
    ),
    result_inline_max_bytes: count(
      20_000,
      0,
      1_048_576,
      'Largest answer of a provider that travels inside a message; a larger one is read at `urls.result`. Standard Webhooks advises less than 20 kB.',
    ),
    concurrency: count(128, 1, 10_000, 'Attempts one webhook process has under way at once.'),
    endpoint_concurrency: count(
      4,
      1,
      1_000,
      'Attempts to one endpoint under way at once, over all processes. A dead receiver takes no more places than these.',
    ),
    endpoint_rate_per_second: count(50, 1, 1_000, 'Attempts to one endpoint per second, over all processes.'),
    endpoint_backlog_max: count(
      10_000,
      1,
      50_000,
      'Deliveries of one endpoint that may wait; further ones are logged as dropped, and `recover` sends them.',
    ),
    endpoint_log_max: count(
      10_000,
      1,
      50_000,
      'Deliveries an endpoint remembers; the oldest ended ones are forgotten first.',
    ),
    retention_seconds: seconds(
      7 * daySeconds,
      60,
      30 * daySeconds,
      'How long a message and its deliveries are kept, for the log, redelivery and recovery. Longer than the schedule.',
    ),
    pause_after_seconds: seconds(
      5 * daySeconds,
      1,
      30 * daySeconds,
      'An endpoint that has only failed for this long is paused; what is meant for it waits.',
    ),
    secret_overlap_seconds: seconds(
      daySeconds,
      0,
      30 * daySeconds,
      'How long the secret before a rotation still signs beside the new one.',
    ),
    sweep_ms: milliseconds(
      1_000,
      50,
      minuteMs,
      'How often outboxes are looked through, beside being told of news.',
    ),
    sweep_batch: count(200, 1, 1_000, 'Outbox entries of one tenant taken at once.'),
    claim_ms: milliseconds(
      30_000,
      500,
      hourMs,
      'How long a process may take with outbox entries it has taken; past it another one takes them.',
    ),
    recheck_ms: milliseconds(
      minuteMs,
      500,
      dayMs,
      'How long after a delivery was due the sweeper looks whether it fell between two steps.',
    ),
  })
  .refine(
    ({ retry_schedule_ms, retry_jitter, retention_seconds }) =>
      retry_schedule_ms.reduce((sum, ms) => sum + ms, 0) * (1 + retry_jitter) < retention_seconds * 1_000,
    { path: ['retention_seconds'], error: 'must be longer than webhooks.retry_schedule_ms takes' },
  )
  .refine(({ endpoint_backlog_max, endpoint_log_max }) => endpoint_backlog_max <= endpoint_log_max, {
    path: ['endpoint_log_max'],
    error: 'must be at least webhooks.endpoint_backlog_max',
  })
  .prefault({});
