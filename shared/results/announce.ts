import { z } from 'zod';
import type { Settings } from '#config/schema.ts';
import { encodeAnnouncement, type OutcomeHead, type Progress } from '#shared/contracts/outcome.ts';
import { TickBatch } from '#shared/kernel/tick-batch.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { defineScript, runScript } from '#shared/redis/script.ts';

const announceScript = defineScript({
  file: new URL('./lua/announce.lua', import.meta.url),
  keys: ['replies'],
  args: ['ttlMs', 'listMax'],
  reply: z.number(),
});

/** An ingress that has not read for this long is gone, and its list with it. */
const repliesTtlMs = 120_000;
/** Most endings told in one script. */
const toldAtOnceMax = 64;

interface Ending {
  waiter: string;
  message: Buffer;
  listMax: number;
}

const batches = new WeakMap<RedisConnection, TickBatch<Ending, undefined>>();

/** What is told over one connection in one tick; jobs that are settled together end for few ingresses. */
function batchOf(redis: RedisConnection): TickBatch<Ending, undefined> {
  const known = batches.get(redis);
  if (known) return known;
  const batch = new TickBatch<Ending, undefined>((endings) => tell(redis, endings), toldAtOnceMax);
  batches.set(redis, batch);
  return batch;
}

async function tell(redis: RedisConnection, endings: readonly Ending[]): Promise<undefined[]> {
  const byWaiter = Map.groupBy(endings, ({ waiter }) => waiter);
  await Promise.all(
    [...byWaiter].map(([waiter, own]) =>
      runScript(redis, announceScript, {
        keys: { replies: keys.replies(waiter) },
        args: { ttlMs: repliesTtlMs, listMax: own[0]!.listMax },
        rest: own.map(({ message }) => message),
      }),
    ),
  );
  return endings.map(() => undefined);
}

/**
 * Tells the ingresses that await a job that it has ended. Announce only what is settled: the announcement is a hint,
 * the record is the truth.
 */
export async function announce(
  redis: RedisConnection,
  settings: Settings['replies'],
  waiters: readonly string[],
  head: OutcomeHead,
  body: Buffer,
): Promise<void> {
  if (waiters.length === 0) return;
  const inline = body.length <= settings.inline_max_bytes ? body : undefined;
  const message = encodeAnnouncement(head, inline);
  const batch = batchOf(redis);
  await Promise.all(waiters.map((waiter) => batch.add({ waiter, message, listMax: settings.list_max })));
}

/**
 * Tells the ingresses that follow a job how far it is, over the channel of each: a message that is lost makes a reader
 * look into the log.
 */
export async function announceProgress(
  redis: RedisConnection,
  settings: Settings['replies'],
  followers: readonly string[],
  progress: Progress,
  bytes?: Buffer,
): Promise<void> {
  const inline = bytes && bytes.length <= settings.inline_max_bytes ? bytes : undefined;
  const message = encodeAnnouncement(progress, inline);
  await Promise.all(followers.map((follower) => redis.publish(keys.ingressChannel(follower), message)));
}
