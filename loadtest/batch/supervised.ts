import { systemClock } from '#shared/kernel/clock.ts';
import type { Child } from '../cluster/children.ts';

/** As long as a supervisor takes to notice. */
const restartMs = 500;

/** A process that is started again whenever it ends, for whatever reason, as a supervisor does. */
export class Supervised {
  readonly #start: () => Promise<Child>;
  #child: Child;
  #ends = 0;
  #kills = 0;

  private constructor(start: () => Promise<Child>, child: Child) {
    this.#start = start;
    this.#child = child;
    this.#watch(child);
  }

  static async start(start: () => Promise<Child>): Promise<Supervised> {
    return new Supervised(start, await start());
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Times it ended without having been killed. */
  get fellOver(): number {
    return this.#ends - this.#kills;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#kills++;
    const { ended } = this.#child;
    this.#child.signal('SIGKILL');
    await ended;
  }

  #watch(child: Child): void {
    void child.ended.then(async () => {
      this.#ends++;
      await systemClock.sleep(restartMs);
      await this.#again();
    });
  }

  async #again(): Promise<void> {
    for (;;) {
      try {
        this.#child = await this.#start();
        return this.#watch(this.#child);
      } catch (error) {
        // Perhaps because what it needs is away.
        console.error(`not started: ${(error as Error).message}`);
        this.#ends++;
        await systemClock.sleep(restartMs);
      }
    }
  }
}
