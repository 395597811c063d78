import type { Settings } from '#config/schema.ts';
import { type Announcement, decodeAnnouncement } from '#shared/contracts/outcome.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { EndlessWait } from '#shared/kernel/endless-wait.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';

export interface ReplyInboxOptions {
  ingressId: string;
  /** A connection of its own: it blocks inside Redis. */
  blocking: RedisConnection;
  /** Another one, for the channel; undefined when only the ends of jobs matter. */
  subscriber: RedisConnection | undefined;
  clock: Clock;
  settings: Settings['replies'];
  receive: (announcement: Announcement) => void;
  onError: (error: unknown) => void;
}

const blockSeconds = 5;
const pauseAfterErrorMs = 200;

/**
 * Reads what workers tell one ingress: how jobs ended from a list of its own, many at a time by one blocking command,
 * and how far they are from a channel of its own. The list keeps what comes during an interruption, which an ending is
 * worth; progress costs half as much over a channel, and whoever missed some finds it in the event log.
 */
export class ReplyInbox implements Service {
  readonly name = 'reply inbox';
  readonly #options: ReplyInboxOptions;
  #loop: Promise<void> | undefined;
  #stopped = false;
  readonly #reply = new EndlessWait();

  constructor(options: ReplyInboxOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#loop = this.#listen();
    const { subscriber, ingressId, receive } = this.#options;
    if (!subscriber) return;
    subscriber.on('messageBuffer', (_channel: Buffer, message: Buffer) =>
      receive(decodeAnnouncement(message)),
    );
    await subscriber.subscribe(keys.ingressChannel(ingressId));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#reply.giveUp();
    this.#options.blocking.disconnect();
    this.#options.subscriber?.disconnect();
    await this.#loop;
  }

  async #listen(): Promise<void> {
    const { blocking, settings, clock, ingressId, receive, onError } = this.#options;
    while (!this.#stopped) {
      try {
        const list = keys.replies(ingressId);
        const popped = blocking.callBuffer('BLMPOP', blockSeconds, 1, list, 'LEFT', 'COUNT', settings.batch);
        const reply = (await this.#reply.until(popped)) as [Buffer, Buffer[]] | null | undefined;
        for (const message of reply?.[1] ?? []) {
          receive(decodeAnnouncement(message));
        }
      } catch (error) {
        if (this.#stopped) return;
        onError(error);
        await clock.sleep(pauseAfterErrorMs);
      }
    }
  }
}
