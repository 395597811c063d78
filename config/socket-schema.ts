import { z } from 'zod';
import { count, milliseconds } from './setting-types.ts';

/** WebSockets of the public API. */
export const socketsSchema = z
  .strictObject({
    process_max: count(10_000, 1, 1_000_000, 'Sockets one ingress process holds open.'),
    key_max: count(1_000, 1, 1_000_000, 'Sockets one virtual key holds open at one ingress process.'),
    subscriptions_max: count(1_000, 1, 100_000, 'Jobs one socket may follow at once.'),
    message_max_bytes: count(1_048_576, 1_024, 67_108_864, 'Largest message a client may send.'),
    messages_per_second: count(
      50,
      1,
      10_000,
      'Messages a client may send per second; more close its socket.',
    ),
    buffer_max_bytes: count(
      1_048_576,
      16_384,
      67_108_864,
      'Bytes that wait for a slow reader before its subscriptions pause.',
    ),
    stall_ms: milliseconds(
      30_000,
      50,
      600_000,
      'A reader that takes nothing for this long while something waits for it is cut.',
    ),
    heartbeat_ms: milliseconds(
      30_000,
      50,
      600_000,
      'How often a socket is pinged; one that has not answered by the next time is closed.',
    ),
    reread_ms: milliseconds(
      5_000,
      50,
      60_000,
      'How often a followed job that gives no sign is looked up, in case a message was lost.',
    ),
    watch_ms: milliseconds(
      1_000,
      50,
      60_000,
      'How often sockets that follow all jobs of a tenant, or of a batch, look for new ones: one look per tenant, and one per batch and socket.',
    ),
    ticket_ms: milliseconds(30_000, 1_000, 600_000, 'How long a ticket for one socket is valid.'),
    origins: z
      .array(z.string().max(300))
      .default([])
      .describe(
        'Origins of web pages that may open sockets, such as https://app.example.com. The own origin always may.',
      ),
  })
  .prefault({});
