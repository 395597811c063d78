import { z } from 'zod';
import { type EventPlace, eventId, readEventId } from '#shared/contracts/job-events.ts';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { defineScript, runScript } from '#shared/redis/script.ts';
import type { LogEntry } from './derive-events.ts';

const appendScript = defineScript({
  file: new URL('./lua/append.lua', import.meta.url),
  keys: ['record', 'events'],
  args: ['token', 'entryId', 'first', 'epoch', 'bytes', 'ttlMs'],
  reply: z.union([z.tuple([z.literal('appended'), z.string()]), z.tuple([z.literal('lost')])]),
});

/** Entries one read takes; with the bound of an entry this bounds what a reader holds. */
const readEntries = 16;

/**
 * What running attempts have streamed: one Redis stream per job, whose ids are the places of `job-events.ts`. It holds
 * chunks only; that a job waits, runs or has ended is read from its record, so that a call nobody streams writes
 * nothing here. When the job has ended its record holds the same bytes, and the log is dropped.
 */
export class EventLog {
  readonly #redis: RedisConnection;
  readonly #ttlMs: number;

  constructor(redis: RedisConnection, ttlMs: number) {
    this.#redis = redis;
    this.#ttlMs = ttlMs;
  }

  /**
   * Adds the bytes that end at `place`; may be sent again. Returns the ingresses that follow the job, or `lost` when
   * another attempt has the lease or the job has ended.
   */
  async append(
    tenant: string,
    jobId: string,
    token: string,
    { place, bytes }: LogEntry,
  ): Promise<string[] | 'lost'> {
    const [kind, followers] = await runScript(this.#redis, appendScript, {
      keys: { record: keys.job(tenant, jobId), events: keys.events(tenant, jobId) },
      args: {
        token,
        entryId: eventId(place),
        first: place.bytes === bytes.length ? '1' : '0',
        epoch: place.epoch,
        bytes,
        ttlMs: this.#ttlMs,
      },
    });
    return kind === 'lost' ? kind : followers!.split(' ').filter(Boolean);
  }

  /** The next entries after a place, and whether there may be more. */
  async read(
    tenant: string,
    jobId: string,
    after: EventPlace,
  ): Promise<{ entries: LogEntry[]; more: boolean }> {
    const from = after.bytes < 0 ? '-' : `(${eventId(after)}`;
    const rows = await this.#redis
      .xrangeBuffer(keys.events(tenant, jobId), from, '+', 'COUNT', readEntries)
      .catch((error: unknown) => {
        throw storeError(error);
      });
    const entries = rows.map(([id, [, bytes]]) => ({ place: readEventId(id.toString())!, bytes: bytes! }));
    return { entries, more: rows.length === readEntries };
  }

  /** Drops the log of a job whose record holds its answer. */
  async drop(tenant: string, jobId: string): Promise<void> {
    await this.#redis.unlink(keys.events(tenant, jobId));
  }
}
