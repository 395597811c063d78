import type { Service } from '#shared/kernel/lifecycle.ts';
import { newsSchema } from '#shared/queue/fair/credential-health.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import type { CredentialBoard } from './credential-board.ts';

/** Listens for what other workers learn of the credentials of the pools that this one serves. */
export class PoolNews implements Service {
  readonly name = 'pool news';
  readonly #subscriber: RedisConnection;
  readonly #boards = new Map<string, CredentialBoard>();
  readonly #onError: (error: unknown) => void;

  constructor(subscriber: RedisConnection, onError: (error: unknown) => void) {
    this.#subscriber = subscriber;
    this.#onError = onError;
  }

  async start(): Promise<void> {
    this.#subscriber.on('message', this.#onMessage);
  }

  async stop(): Promise<void> {
    this.#subscriber.off('message', this.#onMessage);
    this.#boards.clear();
  }

  /** From now on the board hears what is told on the channel. */
  async follow(channel: string, board: CredentialBoard): Promise<void> {
    this.#boards.set(channel, board);
    await this.#subscriber.subscribe(channel);
  }

  unfollow(channel: string): void {
    if (!this.#boards.delete(channel)) return;
    this.#subscriber.unsubscribe(channel).catch(this.#onError);
  }

  readonly #onMessage = (channel: string, message: string) => {
    const board = this.#boards.get(channel);
    if (!board) return;
    try {
      board.heard(newsSchema.parse(JSON.parse(message)));
    } catch (error) {
      this.#onError(error);
    }
  };
}
