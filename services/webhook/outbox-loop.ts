import type { Clock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { keys } from '#shared/redis/keys.ts';
import { type DispatchParts, dispatchOutbox } from './dispatch.ts';

export interface OutboxLoopOptions extends DispatchParts {
  /** A connection of its own, for the channel that tells of news. */
  subscriber: RedisConnection;
  clock: Clock;
}

/** Tenants whose outboxes are emptied at the same time. */
const together = 8;

/**
 * Empties outboxes when it is told of news, and all of them once per `sweep_ms`: the news is a hint that may be lost.
 * Any number of processes may run it; an entry is given to one of them.
 */
export class OutboxLoop implements Service {
  readonly name = 'outbox';
  readonly #options: OutboxLoopOptions;
  readonly #news = new Set<string>();
  readonly #stop = new AbortController();
  #wake: () => void = () => undefined;
  #loop: Promise<void> | undefined;

  constructor(options: OutboxLoopOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { subscriber } = this.#options;
    subscriber.on('message', (_channel, tenant) => {
      this.#news.add(tenant);
      this.#wake();
    });
    await subscriber.subscribe(keys.outboxChannel());
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { settings, clock, onError } = this.#options;
    let sweepAt = 0;
    while (!this.#stop.signal.aborted) {
      try {
        if (clock.monotonicMs() >= sweepAt) {
          sweepAt = clock.monotonicMs() + settings.webhooks.sweep_ms;
          for (const tenant of await this.#options.deliveries.tenants()) this.#news.add(tenant);
          await this.#measure();
        }
        const tenants = [...this.#news].slice(0, together);
        for (const tenant of tenants) this.#news.delete(tenant);
        await Promise.all(tenants.map((tenant) => dispatchOutbox(this.#options, tenant)));
      } catch (error) {
        onError(error);
        sweepAt = clock.monotonicMs() + settings.webhooks.sweep_ms;
        this.#news.clear();
      }
      if (this.#news.size === 0) await this.#untilNews(sweepAt - clock.monotonicMs());
    }
  }

  async #untilNews(waitMs: number): Promise<void> {
    const told = new AbortController();
    this.#wake = () => told.abort();
    const either = AbortSignal.any([told.signal, this.#stop.signal]);
    if (this.#news.size === 0) await this.#options.clock.sleep(Math.max(0, waitMs), either);
  }

  async #measure(): Promise<void> {
    const { deliveries, metrics, clock } = this.#options;
    let size = 0;
    let oldestMs = clock.nowMs();
    for (const tenant of this.#news) {
      const backlog = await deliveries.backlog(tenant);
      size += backlog.size;
      oldestMs = Math.min(oldestMs, backlog.oldestMs ?? oldestMs);
    }
    metrics.webhookBacklog.set(size);
    metrics.webhookOldestSeconds.set((clock.nowMs() - oldestMs) / 1_000);
  }
}
