import type { Settings } from '#config/schema.ts';
import { type Clock, systemClock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import { newId } from '#shared/kernel/ids.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Live, LiveValue } from '#shared/kernel/live-value.ts';
import type { RefusedDocument } from '#shared/overlay/document-verdict.ts';
import { OverlayMerger } from '#shared/overlay/merge-overlay.ts';
import { fieldOf, type OverlayDocument } from '#shared/overlay/overlay-document.ts';
import { OverlayStore } from '#shared/overlay/overlay-store.ts';
import type { OverlaySecrets } from '#shared/overlay/secret-fields.ts';
import { openConnections, openRedis, type RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import type { Metrics } from '#shared/telemetry/metrics.ts';

export interface OverlayFollowerOptions {
  /** The settings of the file. */
  base: Live<Settings>;
  /** What is kept at those settings with all documents laid over them. */
  live: LiveValue<Settings>;
  /** Done last to what is merged. */
  finish?: (merged: Settings) => Settings;
  redisUrl: string;
  secrets: OverlaySecrets;
  log: Logger;
  metrics: Metrics;
  clock?: Clock;
}

/**
 * Keeps the settings of a process at what the file says with the documents laid over it that are kept in Redis. It hears
 * of every change, and looks by itself once in `overlay.poll_ms`. While Redis is away, what runs stays.
 *
 * Start it before whatever is built from the settings: then that starts with the documents in force.
 */
export class OverlayFollower implements Service {
  readonly name = 'changed settings';
  readonly #options: OverlayFollowerOptions;
  readonly #clock: Clock;
  readonly #merger: OverlayMerger;
  readonly #redis: RedisConnection;
  readonly #subscriber: RedisConnection;
  readonly #connections: Service;
  readonly #store: OverlayStore;
  readonly #stopped = new AbortController();
  #documents: readonly OverlayDocument[] = [];
  #version = -1;
  #skipped = '';
  #unreadable: readonly RefusedDocument[] = [];
  #heard = false;
  #wake: () => void = () => undefined;
  #loop: Promise<void> | undefined;
  #unsubscribe: () => void = () => undefined;

  constructor(options: OverlayFollowerOptions) {
    const { base, redisUrl, secrets, log } = options;
    const { redis, overlay } = base.current;
    const name = newId('worker');
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#redis = openRedis(redisUrl, redis, 'commands', `${name}-overlay`);
    this.#subscriber = openRedis(redisUrl, redis, 'blocking', `${name}-overlay-news`);
    this.#connections = openConnections([this.#redis, this.#subscriber], redis, log);
    this.#store = new OverlayStore({ redis: this.#redis, settings: overlay });
    this.#merger = new OverlayMerger(secrets);
  }

  async start(): Promise<void> {
    await this.#connections.start();
    // A Redis that was started anew may have lost the newest versions, and counts them again.
    this.#redis.on('ready', () => this.#store.forget());
    this.#subscriber.on('message', () => {
      this.#heard = true;
      this.#wake();
    });
    await this.#subscriber.subscribe(keys.overlayChannel());
    await this.#look();
    this.#unsubscribe = this.#options.base.subscribe(() => this.#apply());
    this.#loop = this.#follow();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#stopped.abort();
    this.#wake();
    await this.#loop;
    await this.#connections.stop();
  }

  async #follow(): Promise<void> {
    const { base, log, metrics } = this.#options;
    while (!this.#stopped.signal.aborted) {
      await this.#news(base.current.overlay.poll_ms);
      if (this.#stopped.signal.aborted) return;
      await this.#look().catch((error: unknown) => {
        metrics.backgroundErrors.inc({ part: 'overlay' });
        log.debug({ reason: describeError(error) }, 'changed settings could not be read');
      });
    }
  }

  /** Resolves when something was heard since it last did, or after `ms`. */
  async #news(ms: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    if (!this.#heard && !this.#stopped.signal.aborted) await this.#clock.sleep(ms, woken.signal);
    this.#heard = false;
  }

  async #look(): Promise<void> {
    const { version, documents, unreadable } = await this.#store.read();
    this.#version = version;
    this.#unreadable = unreadable;
    if (documents === this.#documents) return;
    this.#documents = documents;
    this.#apply();
  }

  #apply(): void {
    const { base, live, log, metrics, finish = (merged) => merged } = this.#options;
    const { settings, refused } = this.#merger.merge(base.current, this.#documents);
    this.#report([...refused, ...this.#unreadable]);
    metrics.overlayVersion.set(this.#version);
    try {
      live.replace(finish(settings));
    } catch (error) {
      metrics.backgroundErrors.inc({ part: 'settings' });
      log.error({ reason: describeError(error) }, 'a part of this process could not take the new settings');
    }
    log.info({ version: this.#version, documents: this.#documents.length }, 'settings are in force');
  }

  #report(refused: readonly RefusedDocument[]): void {
    const { log, metrics } = this.#options;
    metrics.overlayDocumentsSkipped.set(refused.length);
    const skipped = JSON.stringify(refused);
    if (skipped === this.#skipped) return;
    this.#skipped = skipped;
    for (const { kind, id, reason } of refused)
      log.error({ document: fieldOf(kind, id), reason }, 'a changed setting is skipped');
  }
}
