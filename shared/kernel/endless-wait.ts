/**
 * A wait for what may never end: a command of ioredis that waits for Redis to come back stays open even when its
 * connection is closed. One wait at a time; a race against one lasting promise would keep every wait in memory.
 */
export class EndlessWait {
  #isOver = false;
  #giveUp: () => void = () => undefined;

  /** As `awaited`; undefined once it was given up. */
  until<Value>(awaited: Promise<Value>): Promise<Value | undefined> {
    return new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(undefined);
      awaited.then(resolve, reject);
      if (this.#isOver) this.#giveUp();
    });
  }

  /** Ends the wait, and every later one at once. */
  giveUp(): void {
    this.#isOver = true;
    this.#giveUp();
  }
}
