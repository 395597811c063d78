import { z } from 'zod';
import { count, milliseconds, seconds } from './setting-types.ts';

const daySeconds = 86_400;

/** Batches, and the process that drives them. */
export const batchesSchema = z
  .strictObject({
    open_max: count(200, 1, 100_000, 'Batches of one tenant that have not ended; more are refused with 429.'),
    running_max: count(32, 1, 1_000, 'Batches one ingress process drives at once; others wait.'),
    running_per_tenant_max: count(
      8,
      1,
      1_000,
      'Batches of one tenant that one ingress process drives at once, so that a tenant does not take all places.',
    ),
    lines_open_max: count(
      4_000,
      1,
      100_000,
      'Lines of all batches that one ingress process has under way at once.',
    ),
    lines_open_per_batch_max: count(
      1_000,
      1,
      10_000,
      'Lines of one batch that are under way at once: enough to keep a pool at its ceiling.',
    ),
    bytes_open_per_batch_max: count(
      67_108_864,
      1_048_576,
      4_294_967_296,
      'Bytes of the lines of one batch that are under way at once.',
    ),
    lease_ms: milliseconds(
      15_000,
      1_000,
      300_000,
      'How long a process drives a batch without renewing; then another one takes over.',
    ),
    beat_ms: milliseconds(
      1_000,
      50,
      60_000,
      'How often whoever drives a batch renews its lease and sees that it was cancelled or has expired.',
    ),
    look_ms: milliseconds(500, 50, 60_000, 'How often a process looks for batches that nobody drives.'),
    reread_ms: milliseconds(
      10_000,
      100,
      600_000,
      'A line under way is looked up this often, so a lost announcement costs at most this much.',
    ),
    append_lines: count(500, 1, 5_000, 'Finished lines after which a piece of output is written at once.'),
    append_bytes: count(
      1_048_576,
      1_024,
      67_108_864,
      'Bytes of finished lines after which a piece of output is written at once; smaller pieces are merged later.',
    ),
    append_ms: milliseconds(
      1_000,
      10,
      60_000,
      'Longest time a finished line waits for others before it can be read in the partial output.',
    ),
    failures_max: count(
      20,
      1,
      10_000,
      'Times in a row, without a line done in between, that driving a batch may fail for a reason that does not pass by itself; then it ends as failed.',
    ),
    tenant_gone_ms: milliseconds(
      60_000,
      100,
      daySeconds * 1_000,
      'How long the tenant of a batch must be missing from the configuration before its batches end as failed.',
    ),
    retention_seconds: seconds(
      30 * daySeconds,
      60,
      365 * daySeconds,
      'How long an ended batch can be read; its files have a time of their own.',
    ),
    line_retention_seconds: seconds(
      3_600,
      60,
      30 * daySeconds,
      'How long the job of a line can be read after its result is in the output.',
    ),
  })
  .refine(({ beat_ms, lease_ms }) => beat_ms * 3 <= lease_ms, {
    path: ['beat_ms'],
    error: 'must be at most a third of batches.lease_ms, or living processes lose their batches',
  })
  .prefault({});
