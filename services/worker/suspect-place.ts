/**
 * One place per process for jobs whose next crash would be their last. Because no two of them run together, a job
 * that kills its workers takes no neighbour along: only jobs that were beside it at every crash could reach the
 * limit with it, and the last time it is alone among them.
 */
export class SuspectPlace {
  #taken = false;

  /** Runs `work` in the place; undefined at once when it is taken. */
  async run<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.#taken) return undefined;
    this.#taken = true;
    try {
      return await work();
    } finally {
      this.#taken = false;
    }
  }
}
