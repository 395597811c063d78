import { z } from 'zod';
import { processPresenceSchema } from '#shared/contracts/process-presence.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import { isProvenDead, type ProcessPresence } from '#shared/kernel/process-presence.ts';
import type { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

export interface ReclaimDeliveriesParts {
  processId: string;
  presence: ProcessPresence;
  redis: RedisConnection;
  queue: PoolQueue;
  clock: Clock;
  everyMs: number;
  onError: (error: unknown) => void;
}

const entrySchema = z.object({
  seenMs: z.number(),
  presence: processPresenceSchema,
});

/** A process that was not heard of for this long is forgotten: BullMQ has long given its tickets back. */
const forgetMs = 3_600_000;

/**
 * Gives back the deliveries of webhook processes that are proven dead (killed on this machine), so that they are sent at
 * once instead of after BullMQ's lock. On other machines only the end of that lock tells.
 */
export class DeliveryReclaimer implements Service {
  readonly name = 'delivery reclaimer';
  readonly #parts: ReclaimDeliveriesParts;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;

  constructor(parts: ReclaimDeliveriesParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    await this.#register();
    this.#timer = this.#parts.clock.every(this.#parts.everyMs, () => {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
    });
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#looking;
    const { redis, processId, onError } = this.#parts;
    // What stays behind is forgotten, or proven dead, by the others.
    await redis.hdel(keys.webhookProcesses(), processId).catch(onError);
  }

  async #register(): Promise<void> {
    const { redis, processId, presence, clock } = this.#parts;
    const entry = { seenMs: clock.nowMs(), presence };
    await redis.hset(keys.webhookProcesses(), processId, JSON.stringify(entry));
  }

  async #look(): Promise<void> {
    const { redis, processId, presence, clock, onError } = this.#parts;
    try {
      await this.#register();
      const others = await redis.hgetall(keys.webhookProcesses());
      for (const [id, text] of Object.entries(others)) {
        const other = entrySchema.parse(JSON.parse(text));
        const dead = id !== processId && isProvenDead(other.presence, presence);
        if (dead) await this.#giveBack(id);
        if (dead || other.seenMs < clock.nowMs() - forgetMs) await redis.hdel(keys.webhookProcesses(), id);
      }
    } catch (error) {
      onError(error);
    }
  }

  async #giveBack(dead: string): Promise<void> {
    const { queue } = this.#parts;
    for (const { job } of await queue.heldBy(dead)) await queue.giveBack(job, dead);
  }
}
