import { z } from 'zod';
import type { Settings } from '#config/schema.ts';
import type { WebhookEvent } from '#shared/contracts/webhook.ts';
import { type RedisConnection, storeError } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { runScript } from '#shared/redis/script.ts';
import * as scripts from './scripts.ts';
import { defaultEndpointId, partsOfDelivery } from './webhook-ids.ts';

/**
 * Messages and their deliveries: a message is what happened, a delivery is one message on its way to one endpoint.
 *
 *   outbox ──fan-out──▶ pending ──attempt──▶ delivered | failed (schedule used up, 410, endpoint deleted)
 *                       │  ▲  └──────┘ a failed attempt: due again later
 *                       ▼  │ release
 *                      held (its endpoint is paused)          dropped (too many wait): only noted
 *
 * The outbox holds undispatched messages and every pending delivery, by when somebody should look at it next; whoever
 * looks does what is missing. Every step is one script on the tenant's slot and may be sent again without harm.
 */
export type DeliveryState = 'pending' | 'held' | 'delivered' | 'failed' | 'dropped';

const attemptRowSchema = z.object({
  /** Milliseconds since the epoch. */
  at: z.number(),
  status: z.number().nullable(),
  /** Why there is no status, or why it does not count. */
  error: z.string().nullable(),
  durationMs: z.number(),
});
export type DeliveryAttempt = z.output<typeof attemptRowSchema>;

export interface Delivery {
  id: string;
  messageId: string;
  endpointId: string;
  type: string;
  state: DeliveryState;
  /** Time of the message. */
  createdMs: number;
  nextMs: number | undefined;
  endedMs: number | undefined;
  attempts: DeliveryAttempt[];
}

export interface Message {
  type: string;
  /** Job it is about, while its bytes are not made yet. */
  job: string | undefined;
  /** The same for a batch. */
  batch: string | undefined;
  /** Endpoint or URL that hears of it beside those that subscribed to its type. */
  target: string | undefined;
  payload: string | undefined;
  createdMs: number;
}

export type BegunDelivery =
  | {
      kind: 'send';
      attempt: number;
      nowMs: number;
      url: string;
      /** Endpoint whose keys sign, and those keys as they are stored. */
      signer: string;
      sealedKeys: string;
      payload: string;
    }
  | { kind: 'later'; delayMs: number }
  | { kind: 'held' | 'done' };

export interface EndedAttempt {
  attempt: number;
  result: 'delivered' | 'failed' | 'gone';
  row: DeliveryAttempt;
  /** Until the next attempt; undefined when there is none. */
  delayMs: number | undefined;
  /** How long the receiver asked to be left alone. */
  throttleMs: number;
}

export interface EndedAttemptReply {
  /** Until the next attempt; undefined when the delivery has ended. */
  delayMs: number | undefined;
  endpoint: '' | 'recovered' | 'disabled' | 'paused';
}

const deliveryFields = ['state', 'type', 'createdMs', 'nextMs', 'endedMs', 'rows'] as const;
/** How far ahead of its pace an endpoint may be sent attempts. */
const rateBurstMs = 1_000;

export class DeliveryStore {
  readonly #redis: RedisConnection;
  readonly #settings: Settings['webhooks'];

  constructor(redis: RedisConnection, settings: Settings['webhooks']) {
    this.#redis = redis;
    this.#settings = settings;
  }

  /**
   * Puts a message into the outbox, once per `messageId`; `unheard` when nobody wants to hear of it. `payload` is the
   * whole body, see `messageBody`. Call it again after an error: nothing is sent twice for it.
   */
  publish(
    tenant: string,
    message: { id: string; type: WebhookEvent | 'webhook.test'; payload: string; target?: string },
  ): Promise<'published' | 'known' | 'unheard'> {
    return runScript(this.#redis, scripts.publishMessageScript, {
      keys: {
        message: keys.webhookMessage(tenant, message.id),
        outbox: keys.outbox(tenant),
        subscriptions: keys.webhookSubscriptions(tenant),
      },
      args: {
        suppliedNowMs: '',
        messageId: message.id,
        type: message.type,
        payload: message.payload,
        target: message.target ?? '',
        retentionMs: this.#retentionMs,
        outboxChannel: keys.outboxChannel(),
        tenant,
      },
    });
  }

  tenants(): Promise<string[]> {
    return this.#ask(this.#redis.smembers(keys.webhookTenants()));
  }

  /** Entries of the outbox that are due, and Redis' time; nobody else is given them for `claim_ms`. */
  async claim(tenant: string): Promise<{ nowMs: number; entries: string[] }> {
    const [nowMs, ...entries] = await runScript(this.#redis, scripts.claimOutboxScript, {
      keys: { outbox: keys.outbox(tenant) },
      args: { suppliedNowMs: '', batch: this.#settings.sweep_batch, claimMs: this.#settings.claim_ms },
    });
    return { nowMs, entries };
  }

  /** When an entry is looked at next; undefined: never. */
  async lookAgain(tenant: string, entry: string, atMs: number | undefined): Promise<void> {
    const outbox = keys.outbox(tenant);
    await this.#ask(
      atMs === undefined ? this.#redis.zrem(outbox, entry) : this.#redis.zadd(outbox, 'XX', atMs, entry),
    );
  }

  async message(tenant: string, messageId: string): Promise<Message | undefined> {
    const [type, job, batch, target, payload, createdMs] = await this.#ask(
      this.#redis.hmget(
        keys.webhookMessage(tenant, messageId),
        'type',
        'job',
        'batch',
        'target',
        'payload',
        'createdMs',
      ),
    );
    if (!type) return undefined;
    return {
      type,
      job: job ?? undefined,
      batch: batch ?? undefined,
      target: target || undefined,
      payload: payload ?? undefined,
      createdMs: Number(createdMs),
    };
  }

  /** Fixes the bytes of a message; the record of a job it is about is from then on kept for `recordMs` after its end. */
  async prepare(
    tenant: string,
    messageId: string,
    jobId: string | undefined,
    payload: Buffer,
    recordMs: number,
  ): Promise<void> {
    await runScript(this.#redis, scripts.prepareMessageScript, {
      keys: { message: keys.webhookMessage(tenant, messageId), record: keys.job(tenant, jobId ?? 'none') },
      args: { suppliedNowMs: '', payload, retentionMs: this.#retentionMs, recordMs },
    });
  }

  /** Endpoints that subscribed to an event. */
  async subscribers(tenant: string, type: string): Promise<string[]> {
    const ids = await this.#ask(this.#redis.hget(keys.webhookSubscriptions(tenant), type));
    return (ids ?? '').split(' ').filter(Boolean);
  }

  add(
    tenant: string,
    deliveryId: string,
    { type, createdMs }: Pick<Message, 'type' | 'createdMs'>,
  ): Promise<'pending' | 'held' | 'dropped' | 'known' | 'gone'> {
    const { delivery, endpoint, outbox, backlog, waiting, endpointId } = this.#keysOf(tenant, deliveryId);
    return runScript(this.#redis, scripts.addDeliveryScript, {
      keys: {
        ...{ delivery, endpoint, outbox, backlog, waiting },
        log: keys.webhookLog(tenant, endpointId),
        deliveryPrefix: keys.webhookDelivery(tenant, ''),
      },
      args: {
        suppliedNowMs: '',
        deliveryId,
        type,
        createdMs,
        retentionMs: this.#retentionMs,
        backlogMax: this.#settings.endpoint_backlog_max,
        logMax: this.#settings.endpoint_log_max,
      },
    });
  }

  async begin(tenant: string, deliveryId: string): Promise<BegunDelivery> {
    const { delivery, message, endpoint, outbox, backlog, waiting, endpointId } = this.#keysOf(
      tenant,
      deliveryId,
    );
    const fallback = keys.webhookEndpoint(tenant, defaultEndpointId);
    const gapMs = Math.ceil(1_000 / this.#settings.endpoint_rate_per_second);
    const reply = await runScript(this.#redis, scripts.beginDeliveryScript, {
      keys: { delivery, message, endpoint, fallback, outbox, backlog, waiting },
      args: { suppliedNowMs: '', deliveryId, gapMs, burstMs: rateBurstMs },
    });
    if (reply[0] === 'later') return { kind: 'later', delayMs: reply[1] };
    if (reply[0] !== 'send') return { kind: reply[0] };
    const [kind, attempt, nowMs, url, whose, sealedKeys, payload] = reply;
    const signer = whose === 'own' ? endpointId : defaultEndpointId;
    return { kind, attempt, nowMs, url, signer, sealedKeys, payload };
  }

  async end(tenant: string, deliveryId: string, ended: EndedAttempt): Promise<EndedAttemptReply> {
    const { delivery, endpoint, outbox, backlog, waiting } = this.#keysOf(tenant, deliveryId);
    const [, change, delayMs] = await runScript(this.#redis, scripts.endAttemptScript, {
      keys: { delivery, endpoint, outbox, backlog, waiting },
      args: {
        suppliedNowMs: '',
        deliveryId,
        attempt: ended.attempt,
        result: ended.result,
        row: JSON.stringify(ended.row),
        delayMs: ended.delayMs ?? '',
        throttleMs: ended.throttleMs > 0 ? ended.throttleMs + rateBurstMs : 0,
        pauseAfterMs: this.#settings.pause_after_seconds * 1_000,
        recheckMs: this.#settings.recheck_ms,
      },
    });
    return { delayMs, endpoint: change };
  }

  /** Sends a delivery again from its first attempt. */
  requeue(
    tenant: string,
    deliveryId: string,
    evenDelivered: boolean,
  ): Promise<'requeued' | 'arrived' | 'full' | 'gone'> {
    const { delivery, message, endpoint, outbox, backlog, waiting } = this.#keysOf(tenant, deliveryId);
    return runScript(this.#redis, scripts.requeueDeliveryScript, {
      keys: { delivery, message, endpoint, outbox, backlog, waiting },
      args: {
        suppliedNowMs: '',
        deliveryId,
        evenDelivered: evenDelivered ? '1' : '',
        backlogMax: this.#settings.endpoint_backlog_max,
        outboxChannel: keys.outboxChannel(),
        tenant,
      },
    });
  }

  async read(tenant: string, deliveryId: string): Promise<Delivery | undefined> {
    const parts = partsOfDelivery(deliveryId);
    if (!parts) return undefined;
    const [state, type, createdMs, nextMs, endedMs, rows] = await this.#ask(
      this.#redis.hmget(keys.webhookDelivery(tenant, deliveryId), ...deliveryFields),
    );
    if (!state) return undefined;
    return {
      id: deliveryId,
      ...parts,
      type: type ?? '',
      state: state as DeliveryState,
      createdMs: Number(createdMs),
      nextMs: nextMs ? Number(nextMs) : undefined,
      endedMs: endedMs ? Number(endedMs) : undefined,
      attempts: (rows ?? '')
        .split('\n')
        .filter(Boolean)
        .map((row) => attemptRowSchema.parse(JSON.parse(row))),
    };
  }

  /** Ids of an endpoint's deliveries, newest first, after the delivery `after`. */
  async list(
    tenant: string,
    endpointId: string,
    after: string | undefined,
    limit: number,
  ): Promise<string[]> {
    const log = keys.webhookLog(tenant, endpointId);
    if (after === undefined) return this.#ask(this.#redis.zrevrange(log, 0, limit - 1));
    const rank = await this.#ask(this.#redis.zrevrank(log, after));
    return rank === null ? [] : this.#ask(this.#redis.zrevrange(log, rank + 1, rank + limit));
  }

  /** Deliveries of an endpoint by the time of their message, from that time on, oldest first, up to `limit`. */
  async listSince(
    tenant: string,
    endpointId: string,
    sinceMs: number,
    limit: number,
  ): Promise<{ id: string; createdMs: number }[]> {
    const log = keys.webhookLog(tenant, endpointId);
    const found = await this.#ask(
      this.#redis.zrangebyscore(log, sinceMs, '+inf', 'WITHSCORES', 'LIMIT', 0, limit),
    );
    return found.flatMap((id, index) =>
      index % 2 === 0 ? [{ id, createdMs: Number(found[index + 1]) }] : [],
    );
  }

  /** Deliveries on their way, and the time of the oldest message among them. */
  async backlog(tenant: string): Promise<{ size: number; oldestMs: number | undefined }> {
    const key = keys.webhookBacklog(tenant);
    const [size, oldest] = await this.#ask(
      Promise.all([this.#redis.zcard(key), this.#redis.zrange(key, 0, '0', 'WITHSCORES')]),
    );
    return { size, oldestMs: oldest[1] === undefined ? undefined : Number(oldest[1]) };
  }

  get #retentionMs(): number {
    return this.#settings.retention_seconds * 1_000;
  }

  #keysOf(tenant: string, deliveryId: string) {
    const { messageId, endpointId } = partsOfDelivery(deliveryId)!;
    return {
      endpointId,
      delivery: keys.webhookDelivery(tenant, deliveryId),
      message: keys.webhookMessage(tenant, messageId),
      endpoint: keys.webhookEndpoint(tenant, endpointId),
      outbox: keys.outbox(tenant),
      backlog: keys.webhookBacklog(tenant),
      waiting: keys.webhookWaiting(tenant, endpointId),
    };
  }

  async #ask<T>(command: Promise<T>): Promise<T> {
    try {
      return await command;
    } catch (error) {
      throw storeError(error);
    }
  }
}
