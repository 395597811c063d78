/** A value that is replaced while others use it: read `current` each time, and what you read is what holds now. */
export interface Live<T> {
  readonly current: T;
  /** Calls `onChange` after each replacement, until the returned function is called. */
  subscribe(onChange: (next: T) => void): () => void;
}

/** The one place where such a value is replaced. */
export class LiveValue<T> implements Live<T> {
  #current: T;
  readonly #subscribers = new Set<(next: T) => void>();

  constructor(first: T) {
    this.#current = first;
  }

  get current(): T {
    return this.#current;
  }

  subscribe(onChange: (next: T) => void): () => void {
    // An entry of its own, so that the same function may subscribe twice.
    const subscriber = (next: T) => onChange(next);
    this.#subscribers.add(subscriber);
    return () => void this.#subscribers.delete(subscriber);
  }

  /** Replaces the value and tells all subscribers, also when one of them throws; then throws what was thrown first. */
  replace(next: T): void {
    this.#current = next;
    const thrown: unknown[] = [];
    for (const subscriber of [...this.#subscribers]) {
      try {
        subscriber(next);
      } catch (error) {
        thrown.push(error);
      }
    }
    if (thrown.length > 0) throw thrown[0];
  }
}

/** What is made of a live value, made anew whenever that is replaced. */
export function derive<T, Made>(live: Live<T>, make: (value: T) => Made): Live<Made> {
  const made = new LiveValue(make(live.current));
  live.subscribe((next) => made.replace(make(next)));
  return made;
}
