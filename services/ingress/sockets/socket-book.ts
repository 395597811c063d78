import { SluiceError } from '#shared/kernel/errors.ts';
import type { Identity } from '#shared/tenants/virtual-keys.ts';

/** Counts the open sockets of this process, by virtual key. */
export class SocketBook {
  readonly #processMax: number;
  readonly #keyMax: number;
  readonly #byKey = new Map<string, number>();
  #open = 0;

  constructor(processMax: number, keyMax: number) {
    this.#processMax = processMax;
    this.#keyMax = keyMax;
  }

  /** Takes a place; what it returns gives it back, once. @throws SluiceError too_many_sockets */
  enter({ tenant, keyId }: Identity): () => void {
    const key = `${tenant} ${keyId}`;
    const ofKey = this.#byKey.get(key) ?? 0;
    if (this.#open >= this.#processMax) throw full('server', this.#processMax);
    if (ofKey >= this.#keyMax) throw full('key', this.#keyMax);
    this.#open++;
    this.#byKey.set(key, ofKey + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#open--;
      const rest = this.#byKey.get(key)! - 1;
      if (rest === 0) this.#byKey.delete(key);
      else this.#byKey.set(key, rest);
    };
  }
}

const full = (axis: string, limit: number) =>
  new SluiceError('too_many_sockets', { fields: { axis, limit }, retryAfterMs: 1_000 });
