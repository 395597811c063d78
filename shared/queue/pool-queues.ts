import type { Telemetry } from 'bullmq';
import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { poolIds } from './pool-ids.ts';
import { type PoolId, PoolQueue } from './pool-queue.ts';

export interface PoolQueuesOptions {
  live: Live<Settings>;
  connection: RedisConnection;
  clock: Clock;
  telemetry: Telemetry | undefined;
}

const nameOf = ({ provider, pool }: PoolId) => `${provider}/${pool}`;

/**
 * The queues of all pools of the configuration, opened as pools appear. A queue of a pool that has left the
 * configuration stays open: what waits in it must still be found and taken out.
 */
export class PoolQueues implements Service {
  readonly name = 'queues';
  readonly #options: PoolQueuesOptions;
  readonly #queues = new Map<string, PoolQueue>();
  #unsubscribe: () => void = () => undefined;

  constructor(options: PoolQueuesOptions) {
    this.#options = options;
    this.#openAll(options.live.current);
  }

  async start(): Promise<void> {
    this.#unsubscribe = this.#options.live.subscribe((settings) => this.#openAll(settings));
    await Promise.all(this.all().map((queue) => queue.start()));
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await Promise.all(this.all().map((queue) => queue.stop()));
  }

  /** Every queue that was opened. */
  all(): PoolQueue[] {
    return [...this.#queues.values()];
  }

  /** Queue of a pool that is, or was, in the configuration of this process. */
  of(id: PoolId): PoolQueue | undefined {
    return this.#queues.get(nameOf(id));
  }

  /** The same, opened when need be. */
  open(id: PoolId): PoolQueue {
    const found = this.of(id);
    if (found) return found;
    const { connection, clock, telemetry } = this.#options;
    const opened = new PoolQueue(id, connection, clock, telemetry);
    this.#queues.set(nameOf(id), opened);
    return opened;
  }

  #openAll(settings: Settings): void {
    for (const id of poolIds(settings)) this.open(id);
  }
}
