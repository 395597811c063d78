import { z } from 'zod';
import { count, milliseconds } from './setting-types.ts';

/** How ingresses hear of the jobs that are awaited there. */
export const repliesSchema = z
  .strictObject({
    reread_ms: milliseconds(
      1_000,
      50,
      10_000,
      'An awaited call re-reads its record this often, so a lost announcement costs at most this much.',
    ),
    batch: count(128, 1, 1_000, 'Announcements taken from Redis at once.'),
    inline_max_bytes: count(
      65_536,
      0,
      1_048_576,
      'Bodies up to this size travel inside the announcement; larger ones are read from the record.',
    ),
    list_max: count(50_000, 100, 1_000_000, 'Announcements kept for one ingress that does not read them.'),
  })
  .prefault({});

/** Answers that are relayed while they are made. */
export const streamsSchema = z
  .strictObject({
    flush_ms: milliseconds(
      20,
      0,
      5_000,
      'Pause between two writes of a stream into its event log; the first chunk is written at once.',
    ),
    entry_max_bytes: count(65_536, 1_024, 1_048_576, 'Most bytes of one entry of the event log.'),
    event_max_bytes: count(
      1_048_576,
      1_024,
      33_554_432,
      'Largest single event a provider may stream; `response_max_bytes` of the provider bounds all of them together.',
    ),
    events_max: count(200_000, 100, 10_000_000, 'Most events of one stream of a provider.'),
    waiting_ms: milliseconds(
      10_000,
      50,
      600_000,
      'How often a streamed call that waits is told why. Until the first time it can still be answered with an HTTP error.',
    ),
    stall_ms: milliseconds(
      30_000,
      50,
      600_000,
      'A reader that takes nothing for this long is cut; the stream stays readable in the event log.',
    ),
  })
  .prefault({});
