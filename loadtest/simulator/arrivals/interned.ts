/** Numbers for a bounded set of names, so that a log entry holds a number and not a text. */
export class Interned {
  readonly #names: string[] = [''];
  readonly #numbers = new Map<string, number>([['', 0]]);
  readonly #max: number;

  /** At most `max` names; the rest is called '(other)'. */
  constructor(max: number) {
    this.#max = max;
  }

  number(name: string): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const kept = this.#names.length < this.#max - 1 ? name : '(other)';
    const number = this.#numbers.get(kept) ?? this.#names.push(kept) - 1;
    this.#numbers.set(kept, number);
    return number;
  }

  /** The number of a name that was seen before. */
  find(name: string): number | undefined {
    return this.#numbers.get(name);
  }

  name(number: number): string {
    return this.#names[number]!;
  }
}
