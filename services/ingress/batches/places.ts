/** A bounded number of places, given out in the order they were asked for. */
export class Places {
  readonly #limit: number;
  #taken = 0;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Resolves with a place; false when `signal` aborted before there was one. */
  async take(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.#taken < this.#limit) {
      this.#taken++;
      return true;
    }
    return new Promise((resolve) => {
      const given = () => {
        signal.removeEventListener('abort', gaveUp);
        resolve(true);
      };
      const gaveUp = () => {
        this.#waiting.delete(given);
        resolve(false);
      };
      this.#waiting.add(given);
      signal.addEventListener('abort', gaveUp, { once: true });
    });
  }

  /** Gives a place back; whoever waited longest gets it. */
  give(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#taken--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
