import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { describeError } from '#shared/kernel/errors.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import { poolIds } from '#shared/queue/pool-ids.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { PoolQueues } from '#shared/queue/pool-queues.ts';
import { poolSettingsOf, tenantSettingsOf } from '#shared/queue/pool-settings.ts';
import type { Logger } from '#shared/telemetry/logger.ts';
import { ServedPool, type ServedPoolParts } from './served-pool.ts';

export interface ServePoolsOptions {
  live: Live<Settings>;
  /** Which pools this process serves, as `provider/pool` with `*` at the end of either part. */
  patterns: readonly string[];
  queues: PoolQueues;
  parts: ServedPoolParts;
  workerId: string;
  clock: Clock;
  log: Logger;
}

const publishAgainMs = 500;
const nameOf = ({ provider, pool }: PoolId) => `${provider}/${pool}`;
const matches = (pattern: string, name: string) =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;

/**
 * The pools of this process: publishes how they are run and takes their tickets. When the configuration changes, new
 * pools are started, those that are gone finish what they have in hand, and the others go on with the new settings.
 *
 * Settings of pools are published when the process starts and when its configuration has changed, and at no other time:
 * of two workers with different files the one that spoke last counts, and neither ever repeats itself.
 */
export class ServePools implements Service {
  readonly name = 'pools';
  readonly #options: ServePoolsOptions;
  readonly #pools = new Map<string, ServedPool>();
  /** Pools that are no longer served, until they have ended; for good those whose calls outlasted the drain. */
  readonly #leaving = new Map<ServedPool, Promise<void>>();
  readonly #stopped = new AbortController();
  #unsubscribe: () => void = () => undefined;
  #following: Promise<void> = Promise.resolve();

  constructor(options: ServePoolsOptions) {
    this.#options = options;
  }

  /** Whether no ticket is in hand. */
  get idle(): boolean {
    return [...this.#pools.values(), ...this.#leaving.keys()].every(({ active }) => active === 0);
  }

  async start(): Promise<void> {
    const { live } = this.#options;
    const begun = this.#adopt(live.current);
    // One change after the other, also when one comes while the process starts.
    this.#following = begun.catch(() => undefined);
    this.#unsubscribe = live.subscribe(() => {
      this.#following = this.#following.then(() => this.#follow());
    });
    try {
      await begun;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** All pools stop together, so that none takes new work while another still drains. */
  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#stopped.abort();
    await this.#following;
    const { clock, parts } = this.#options;
    // Pools that were leaving in their own time are cut off like the others.
    const leaving = [...this.#leaving.keys()];
    const late = clock.after(parts.settings.workers.drain_ms, () => {
      for (const pool of leaving) pool.cut().catch(parts.onError('pools'));
    });
    for (const name of [...this.#pools.keys()]) this.#leave(name, (pool) => pool.stop());
    await Promise.all(this.#leaving.values());
    late.cancel();
  }

  /** Brings this process to the newest settings, for as long as Redis takes to hear of them. */
  async #follow(): Promise<void> {
    const { live, clock, log } = this.#options;
    while (!this.#stopped.signal.aborted) {
      try {
        return await this.#adopt(live.current);
      } catch (error) {
        log.warn({ reason: describeError(error) }, 'the changed pools could not be published yet');
        await clock.sleep(publishAgainMs, this.#stopped.signal);
      }
    }
  }

  async #adopt(settings: Settings): Promise<void> {
    const { queues, patterns, parts } = this.#options;
    const wanted = poolIds(settings).filter((id) => patterns.some((pattern) => matches(pattern, nameOf(id))));
    const names = new Set(wanted.map(nameOf));
    for (const name of [...this.#pools.keys()]) {
      if (names.has(name)) continue;
      this.#options.log.info({ pool: name }, 'pool has left the configuration');
      this.#leave(name, (pool) => pool.leave());
    }
    for (const id of wanted) this.#pools.get(nameOf(id))?.adopt(settings.providers[id.provider]!);
    await Promise.all(wanted.map((id) => this.#publish(id, settings)));
    const added = wanted.filter((id) => !this.#pools.has(nameOf(id)));
    await Promise.all(
      added.map(async (id) => {
        const pool = new ServedPool(queues.open(id), settings.providers[id.provider]!, parts);
        this.#pools.set(nameOf(id), pool);
        await pool.start().catch(async (error: unknown) => {
          this.#pools.delete(nameOf(id));
          await pool.stop();
          throw error;
        });
      }),
    );
  }

  async #publish(id: PoolId, settings: Settings): Promise<void> {
    const { queues, workerId, log } = this.#options;
    const tenants = tenantSettingsOf(settings);
    const published = await queues.open(id).publish(poolSettingsOf(settings, id), tenants, workerId);
    if (published.changed) log.info({ pool: nameOf(id), ...published }, 'pool settings published');
  }

  #leave(name: string, how: (pool: ServedPool) => Promise<void>): void {
    const pool = this.#pools.get(name)!;
    this.#pools.delete(name);
    const left = how(pool).catch(this.#options.parts.onError(`pool ${name}`));
    const forget = () => {
      if (pool.active === 0) this.#leaving.delete(pool);
    };
    this.#leaving.set(pool, left.then(forget));
  }
}
