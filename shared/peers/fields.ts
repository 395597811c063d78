/** Something of a foreign configuration that has no counterpart here, or not the same one. Never holds a value: it may be a secret. */
export interface Note {
  path: string;
  reason: string;
}

type Values = Record<string, unknown>;

const isObject = (value: unknown): value is Values =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Null, and what holds nothing, says nothing. */
function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}

/**
 * An object of a foreign configuration. Each field is taken once by whoever knows what it means; `end` notes all that
 * nobody took, so that nothing is dropped in silence.
 */
export class Fields {
  readonly path: string;
  readonly #values: Values;
  readonly #notes: Note[];
  readonly #left: Set<string>;

  constructor(value: unknown, path: string, notes: Note[]) {
    this.path = path;
    this.#notes = notes;
    this.#values = isObject(value) ? value : {};
    this.#left = new Set(Object.keys(this.#values).filter((name) => !isEmpty(this.#values[name])));
    if (!isObject(value) && !isEmpty(value)) notes.push({ path, reason: 'is not an object' });
  }

  get names(): string[] {
    return Object.keys(this.#values);
  }

  /** Whether the field is there, were it empty. */
  has(name: string): boolean {
    return this.#values[name] !== undefined && this.#values[name] !== null;
  }

  take(name: string): unknown {
    this.#left.delete(name);
    const value = Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
    return value === null || value === '' ? undefined : value;
  }

  text(name: string): string | undefined {
    const value = this.take(name);
    if (value === undefined || typeof value === 'string') return value;
    return typeof value === 'number' ? String(value) : this.#wrong(name, 'a text');
  }

  number(name: string): number | undefined {
    const value = this.take(name);
    const number = typeof value === 'string' ? Number(value) : value;
    if (number === undefined || (typeof number === 'number' && Number.isFinite(number))) return number;
    return this.#wrong(name, 'a number');
  }

  flag(name: string): boolean | undefined {
    const value = this.take(name);
    return value === undefined || typeof value === 'boolean' ? value : this.#wrong(name, 'true or false');
  }

  texts(name: string): string[] | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    const list = Array.isArray(value) ? value : [value];
    return list.every((each) => typeof each === 'string') ? list : this.#wrong(name, 'a list of texts');
  }

  within(name: string): Fields | undefined {
    const value = this.take(name);
    return value === undefined ? undefined : new Fields(value, this.#pathOf(name), this.#notes);
  }

  /** The objects of a list. */
  each(name: string): Fields[] {
    const value = this.take(name);
    if (value === undefined) return [];
    if (!Array.isArray(value)) return this.#wrong(name, 'a list') ?? [];
    return value.map((item, index) => new Fields(item, `${this.#pathOf(name)}.${index}`, this.#notes));
  }

  /** Takes the field and says why it does not come along. */
  leave(name: string, reason: string): void {
    if (this.#left.has(name)) this.note(name, reason);
    this.#left.delete(name);
  }

  note(name: string, reason: string): void {
    this.#notes.push({ path: this.#pathOf(name), reason });
  }

  /** Notes every field that was not taken. */
  end(reason = 'has no counterpart here'): void {
    for (const name of [...this.#left]) this.leave(name, reason);
  }

  #pathOf(name: string): string {
    if (name === '') return this.path;
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  #wrong(name: string, wanted: string): undefined {
    this.note(name, `is not ${wanted}`);
    return undefined;
  }
}
