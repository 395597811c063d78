import type { Clock } from '#shared/kernel/clock.ts';
import { heldOf } from '#shared/queue/fair/explain.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import type { PoolQueues } from '#shared/queue/pool-queues.ts';

interface Health {
  /** Left alone after failures, or over money. */
  isOpen: boolean;
  /** No credential of it may be called just now. */
  isHeld: boolean;
}

/** Many jobs may ask; each pool is asked this often. */
const freshMs = 500;

/** Whether pools take calls at present, for whoever looks at waiting jobs. */
export class PoolHealth {
  readonly #queues: Pick<PoolQueues, 'open'>;
  readonly #clock: Clock;
  readonly #known = new Map<string, { atMs: number; health: Promise<Health> }>();

  constructor(queues: Pick<PoolQueues, 'open'>, clock: Clock) {
    this.#queues = queues;
    this.#clock = clock;
  }

  of({ provider, pool }: PoolId): Promise<Health> {
    const name = `${provider}/${pool}`;
    const atMs = this.#clock.monotonicMs();
    const known = this.#known.get(name);
    if (known && atMs - known.atMs < freshMs) return known.health;
    const health = this.#ask({ provider, pool });
    this.#known.set(name, { atMs, health });
    return health;
  }

  async #ask(id: PoolId): Promise<Health> {
    const { isOpen, heldMs } = heldOf(await this.#queues.open(id).explainAll());
    return { isOpen, isHeld: heldMs > 0 };
  }
}
