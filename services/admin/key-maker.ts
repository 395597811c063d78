import type { Random } from '#shared/kernel/random.ts';
import type { KeyHasher } from '#shared/tenants/key-hash.ts';
import { newVirtualKey, storedKey } from '#shared/tenants/virtual-keys.ts';

/** Makes virtual keys, and tells what is stored of one and how it is found again. */
export interface KeyMaker {
  make: () => string;
  /** @throws SluiceError secret_key_missing */
  stored: (key: string) => ReturnType<typeof storedKey>;
  /** Whether the settings of a key are those of this one. */
  isKey: (key: string) => (settings: { key: string; hash?: string | undefined }) => boolean;
}

export const keyMaker = (random: Random, hasher: KeyHasher): KeyMaker => ({
  make: () => newVirtualKey(random),
  stored: (key) => storedKey(key, hasher),
  isKey: (given) => {
    const hashes = new Set(hasher.candidates(given));
    // A key of the file is compared by what it hashes to, so that the comparison tells nothing of it.
    return ({ key, hash }) => hashes.has(key === '' ? (hash ?? '') : hasher.hash(key));
  },
});
