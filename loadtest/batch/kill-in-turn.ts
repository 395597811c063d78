import { systemClock } from '#shared/kernel/clock.ts';

/** Something to be killed when so much of the batch is done. */
export interface Killing {
  name: string;
  /** Share of the lines, 0 to 1. */
  atShare: number;
  kill: () => Promise<void>;
}

/** Kills one after the other as the batch goes on, and tells how long it stood still each time. */
export class KillInTurn {
  readonly #killings: Killing[];
  /** The last one to be killed; `done` is what was done when the batch was first seen again. */
  #last: { name: string; atMs: number; done: number | undefined } | undefined;
  /** Milliseconds from each kill until more lines were done. */
  readonly stoodStillMs: Record<string, number> = {};

  constructor(killings: readonly Killing[]) {
    this.#killings = [...killings];
  }

  async progressed(done: number, share: number): Promise<void> {
    if (this.#last) this.#last.done ??= done;
    if (this.#last?.done !== undefined && done > this.#last.done) {
      this.stoodStillMs[this.#last.name] = Math.round(systemClock.monotonicMs() - this.#last.atMs);
      this.#last = undefined;
    }
    const [next] = this.#killings;
    if (!next || share < next.atShare || this.#last) return;
    this.#killings.shift();
    this.#last = { name: next.name, atMs: systemClock.monotonicMs(), done: undefined };
    await next.kill();
  }
}
