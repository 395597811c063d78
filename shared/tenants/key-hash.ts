import { createHmac, hkdfSync } from 'node:crypto';
import { SluiceError } from '#shared/kernel/errors.ts';
import { type Random, systemRandom } from '#shared/kernel/random.ts';

const secretBytes = 32;
const purpose = 'sluice virtual keys';

/**
 * How virtual keys stand in the store and are looked up: as HMAC-SHA-256, keyed with what is derived from the secret keys
 * of the process (`SLUICE_SECRET_KEY`, or the one that `npm start` keeps in the data folder). Processes with other secret
 * keys, on another machine say, do not know the keys that were made here: give all of them the same.
 */
export class KeyHasher {
  readonly #secrets: Buffer[];
  readonly #canStore: boolean;

  /** The first secret makes hashes; the others still find what they made before. */
  constructor(secrets: readonly string[], random: Random = systemRandom) {
    const derived = secrets.map((each) => Buffer.from(hkdfSync('sha256', each, '', purpose, secretBytes)));
    this.#canStore = derived.length > 0;
    // Without a secret the keys of the file are looked up in this process by one that nobody else has.
    this.#secrets = this.#canStore ? derived : [Buffer.from(random.bytes(secretBytes))];
  }

  /** For the store. @throws SluiceError secret_key_missing when other processes could not know the key by it */
  stored(key: string): string {
    if (!this.#canStore) throw new SluiceError('secret_key_missing');
    return this.hash(key);
  }

  hash(key: string): string {
    return hmac(this.#secrets[0]!, key);
  }

  /** Under what the key may be known, the likeliest first. */
  *candidates(key: string): Generator<string> {
    for (const secret of this.#secrets) yield hmac(secret, key);
  }
}

const hmac = (secret: Buffer, key: string) => createHmac('sha256', secret).update(key).digest('hex');
