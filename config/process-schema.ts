import { z } from 'zod';
import { count, milliseconds, port } from './setting-types.ts';

export const operationsSchema = z
  .strictObject({
    host: z
      .string()
      .default('127.0.0.1')
      .describe(
        'Address of /metrics, /healthz, /readyz and, where it runs, the admin API. Loopback unless you change it.',
      ),
    port: port(8081, 'Port of /metrics, /healthz, /readyz and, where it runs, the admin API.'),
  })
  .prefault({});

export const adminSchema = z
  .strictObject({
    key: z
      .string()
      .regex(/^[\x21-\x7e]{16,512}$/, 'use at least 16 printable characters without spaces')
      .optional()
      .describe(
        'Key of the admin API. Unset: `npm start` makes one and keeps it in the data folder; `npm run admin` does not start.',
      ),
    streams_max: count(32, 1, 10_000, 'Event streams of the admin API that may be open at once.'),
    stream_ms: milliseconds(1_000, 100, 60_000, 'How often an event stream of the admin API tells anew.'),
  })
  .prefault({});

export const simulatorSchema = z
  .strictObject({
    port: port(
      8090,
      'Port of the provider simulator that `npm start` runs when no provider key is configured.',
    ),
    first_byte_ms: milliseconds(80, 0, 600_000, 'Simulated time to the first byte.'),
    per_token_ms: z
      .number()
      .min(0)
      .max(1_000)
      .default(2)
      .describe('Simulated time per output token. Milliseconds.'),
  })
  .prefault({});

export const redisSchema = z
  .strictObject({
    url: z
      .string()
      .optional()
      .describe(
        'redis:// or rediss:// URL of your own Redis (>= 7.0.8, maxmemory-policy noeviction). Unset: `npm start` runs an embedded one.',
      ),
    data_dir: z
      .string()
      .default('./data')
      .describe(
        'Folder of the embedded Redis (append-only file, fsync every second), of blobs and of the made development key.',
      ),
    connect_timeout_ms: milliseconds(2_000, 100, 60_000, 'Longest wait for a connection to Redis.'),
    command_timeout_ms: milliseconds(
      2_000,
      100,
      60_000,
      'Longest wait for a reply of Redis; past it the caller gets 503.',
    ),
    start_timeout_ms: milliseconds(
      60_000,
      1_000,
      600_000,
      'Longest wait for Redis to be ready when a process starts.',
    ),
    memory_max_percent: count(
      75,
      10,
      95,
      'Share of Redis maxmemory above which new calls are refused, so that running ones can still settle.',
    ),
  })
  .prefault({});

export const reloadSchema = z
  .strictObject({
    poll_ms: milliseconds(
      500,
      50,
      60_000,
      'How often the configuration file is looked at. Changes of `providers` and `customers` take effect without a restart.',
    ),
    settle_ms: milliseconds(
      100,
      10,
      10_000,
      'A changed file is read once it has stayed the same for this long; at the latest one `poll_ms` later.',
    ),
  })
  .prefault({});
