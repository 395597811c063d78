import type { ProviderSettings, Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Random } from '#shared/kernel/random.ts';
import { ClaimLoop } from '#shared/queue/claim-loop.ts';
import type { PoolQueue } from '#shared/queue/pool-queue.ts';
import { grantAgeMaxMs } from '#shared/queue/pool-settings.ts';
import { StockLoop } from '#shared/queue/stock-loop.ts';
import type { TicketWorker, TicketWorkerOptions } from '#shared/queue/ticket-worker.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import { ProviderClient } from './http/provider-client.ts';
import { CredentialBoard } from './limits/credential-board.ts';
import { CredentialKeeper } from './limits/credential-keeper.ts';
import { LimitWatch } from './limits/limit-watch.ts';
import type { PoolNews } from './limits/pool-news.ts';
import { type RunJobParts, runJob } from './run-job.ts';
import { SendWindow } from './send-window.ts';

/** What a changed configuration replaces while calls run. */
type Replaced = Pick<RunJobParts, 'provider' | 'client' | 'limitWatch' | 'sendWindow'>;

/** What all pools of a worker process share. */
export interface ServedPoolParts {
  shared: Omit<RunJobParts, keyof Replaced | 'id' | 'credentials' | 'settings' | 'random'>;
  news: PoolNews;
  /** Settings that hold until the process ends. */
  settings: Settings;
  clock: Clock;
  random: Random;
  log: Logger;
  connection: RedisConnection;
  telemetry: TicketWorkerOptions['telemetry'];
  onError: (part: string) => (error: unknown) => void;
}

/** One pool of this process: the loop that takes its tickets, with provider connections of its own. */
export class ServedPool {
  readonly #queue: PoolQueue;
  readonly #parts: ServedPoolParts;
  readonly #onError: (error: unknown) => void;
  readonly #now: Replaced;
  readonly #board: CredentialBoard;
  readonly #loop: TicketWorker;

  constructor(queue: PoolQueue, provider: ProviderSettings, parts: ServedPoolParts) {
    this.#queue = queue;
    this.#parts = parts;
    this.#onError = parts.onError(`pool ${queue.id.provider}/${queue.id.pool}`);
    this.#now = {
      provider,
      client: this.#newClient(provider),
      limitWatch: this.#newLimitWatch(provider),
      sendWindow: this.#newSendWindow(provider),
    };
    this.#board = this.#newBoard();
    this.#loop = this.#newLoop();
  }

  get active(): number {
    return this.#loop.active;
  }

  async start(): Promise<void> {
    await this.#parts.news.follow(this.#queue.newsChannel, this.#board);
    await this.#loop.start();
  }

  /** Stops with the process: calls that outlast `drain_ms` are cut off. */
  stop(): Promise<void> {
    return this.#end(this.#parts.settings.workers.drain_ms);
  }

  /** Leaves the process, which goes on: calls in flight take the time they need. */
  leave(): Promise<void> {
    return this.#end(this.#now.provider.timeouts.total_ms);
  }

  async #end(drainMs: number): Promise<void> {
    try {
      await this.#loop.stop(drainMs);
    } finally {
      this.#now.limitWatch.stop();
      this.#parts.news.unfollow(this.#queue.newsChannel);
      await this.cut();
    }
  }

  /** Cuts off the calls in flight. */
  cut(): Promise<void> {
    return this.#now.client.destroy();
  }

  /** Goes on with changed settings: calls in flight end as they began, the next ones take the new settings. */
  adopt(provider: ProviderSettings): void {
    const now = this.#now;
    const before = now.provider;
    const pool = this.#poolOf(provider);
    now.provider = provider;
    now.sendWindow = this.#newSendWindow(provider);
    if (pool.window_seconds !== this.#poolOf(before).window_seconds) {
      now.limitWatch.stop();
      now.limitWatch = this.#newLimitWatch(provider);
    }
    const connectionsOf = (each: ProviderSettings) =>
      JSON.stringify([each.timeouts, each.response_max_bytes, this.#poolOf(each).concurrency]);
    if (connectionsOf(before) === connectionsOf(provider)) return;
    now.client.close().catch(this.#onError);
    now.client = this.#newClient(provider);
    this.#loop.resize(pool.concurrency);
  }

  #poolOf(provider: ProviderSettings): ProviderSettings['pools'][string] {
    return provider.pools[this.#queue.id.pool]!;
  }

  #newClient(provider: ProviderSettings): ProviderClient {
    return new ProviderClient(provider, this.#poolOf(provider).concurrency, this.#parts.clock);
  }

  #newSendWindow(provider: ProviderSettings): SendWindow {
    return new SendWindow(this.#parts.clock, grantAgeMaxMs(this.#poolOf(provider)));
  }

  #newLimitWatch(provider: ProviderSettings): LimitWatch {
    const { clock, shared, log, onError } = this.#parts;
    const { window_seconds, tier } = this.#poolOf(provider);
    return new LimitWatch({
      pool: `${this.#queue.id.provider}/${this.#queue.id.pool}`,
      minuteMs: window_seconds * 1_000,
      tier,
      headers: provider.limit_headers,
      observe: (...observation) => this.#queue.observe(...observation),
      clock,
      metrics: shared.metrics,
      log,
      onError: onError('limits'),
    });
  }

  #newBoard(): CredentialBoard {
    const { clock, shared, log } = this.#parts;
    const { provider, pool } = this.#queue.id;
    return new CredentialBoard({ pool: `${provider}/${pool}`, clock, metrics: shared.metrics, log });
  }

  #newKeeper(): CredentialKeeper {
    const { clock, shared, onError } = this.#parts;
    return new CredentialKeeper({
      board: this.#board,
      coolDown: (credential, forMs) => this.#queue.coolDown(credential, forMs),
      report: (call) => this.#queue.report(call),
      storeRetry: shared.storeRetry,
      clock,
      onError: onError('credentials'),
    });
  }

  #newLoop(): TicketWorker {
    const queue = this.#queue;
    const now = this.#now;
    const { shared, settings, clock, random, connection, telemetry } = this.#parts;
    const parts: RunJobParts = {
      ...shared,
      id: queue.id,
      get provider() {
        return now.provider;
      },
      get client() {
        return now.client;
      },
      get limitWatch() {
        return now.limitWatch;
      },
      get sendWindow() {
        return now.sendWindow;
      },
      settings: settings.jobs,
      random,
      credentials: this.#newKeeper(),
    };
    const Loop = settings.workers.loop === 'stock' ? StockLoop : ClaimLoop;
    return new Loop({
      id: queue.id,
      workerId: shared.workerId,
      concurrency: this.#poolOf(now.provider).concurrency,
      clock,
      telemetry,
      connection,
      settings: settings.workers,
      handle: (held) => runJob(parts, held),
      onError: this.#onError,
      onWait: (tenant, waitedFor) => this.#countWait(tenant, waitedFor),
    });
  }

  #countWait(tenant: string, waitedFor: string): void {
    const { metrics } = this.#parts.shared;
    metrics.dispatchDecisions.inc({
      tenant: metrics.tenantLabel(tenant),
      pool: `${this.#queue.id.provider}/${this.#queue.id.pool}`,
      credential: 'none',
      decision: waitedFor,
    });
  }
}
