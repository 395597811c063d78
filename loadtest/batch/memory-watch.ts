import { systemClock, type Timer } from '#shared/kernel/clock.ts';
import { peakRssMb, rssMb } from './resident-memory.ts';

const lookMs = 250;

/** The processes of a run by what they are. They may be replaced by others while it goes on. */
export type Roles = () => Record<string, readonly number[]>;

/** The largest resident memory that any process of a role has had, including those that were killed. */
export class MemoryWatch {
  readonly #roles: Roles;
  readonly #peaks = new Map<string, number>();
  readonly #timer: Timer;

  constructor(roles: Roles) {
    this.#roles = roles;
    this.#timer = systemClock.every(lookMs, () => void this.look());
  }

  /** Also to be called before a process ends, because the kernel tells nothing of it afterwards. */
  async look(): Promise<void> {
    for (const [role, largest] of Object.entries(await this.#largest(peakRssMb)))
      this.#peaks.set(role, Math.max(this.#peaks.get(role) ?? 0, largest));
  }

  /** What the largest process of each role has now. */
  now(): Promise<Record<string, number>> {
    return this.#largest(rssMb);
  }

  get peaks(): Record<string, number> {
    return Object.fromEntries(this.#peaks);
  }

  stop(): void {
    this.#timer.cancel();
  }

  async #largest(read: (pid: number) => Promise<number>): Promise<Record<string, number>> {
    const all = Object.entries(this.#roles()).map(async ([role, pids]) => {
      return [role, Math.max(0, ...(await Promise.all(pids.map(read))))] as const;
    });
    return Object.fromEntries(await Promise.all(all));
  }
}
