import { hash, randomBytes } from 'node:crypto';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import type { Identity } from './virtual-keys.ts';

type Holder = Pick<Identity, 'tenant' | 'keyId'>;

const ticketBytes = 24;
const digest = (ticket: string) => hash('sha256', ticket, 'hex');

/**
 * Tickets that open one socket each, for browsers, which cannot send a key with a WebSocket. Only their digests are
 * stored, and a ticket is gone when it was used or has expired.
 */
export class SocketTickets {
  readonly #redis: RedisConnection;
  readonly #lifeMs: number;

  constructor(redis: RedisConnection, lifeMs: number) {
    this.#redis = redis;
    this.#lifeMs = lifeMs;
  }

  async issue({ tenant, keyId }: Holder): Promise<{ ticket: string; expiresInSeconds: number }> {
    const ticket = randomBytes(ticketBytes).toString('base64url');
    const held = JSON.stringify({ tenant, keyId });
    await this.#ask(this.#redis.set(keys.socketTicket(digest(ticket)), held, 'PX', this.#lifeMs));
    return { ticket, expiresInSeconds: Math.floor(this.#lifeMs / 1_000) };
  }

  /** Which key the ticket was made with; undefined when it is unknown, used or expired. It is used up by this. */
  async redeem(ticket: string): Promise<Holder | undefined> {
    const held = await this.#ask(this.#redis.getdel(keys.socketTicket(digest(ticket))));
    return held === null ? undefined : (JSON.parse(held) as Holder);
  }

  async #ask<T>(command: Promise<T>): Promise<T> {
    return command.catch((error: unknown) => {
      throw storeError(error);
    });
  }
}
