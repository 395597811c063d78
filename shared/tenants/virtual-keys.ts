import { hash } from 'node:crypto';
import type { Settings } from '#config/schema.ts';
import type { Random } from '#shared/kernel/random.ts';

/** Who a virtual key acts for. */
export interface Identity {
  tenant: string;
  keyId: string;
}

const keyBytes = 24;

/** A key that nobody can guess. */
export function newVirtualKey(random: Random): string {
  return `sk-sl-${Buffer.from(random.bytes(keyBytes)).toString('base64url')}`;
}

const digest = (key: string) => hash('sha256', key, 'hex');

/** The virtual keys of the configuration, found by digest, so that no comparison depends on the secret. */
export class VirtualKeys {
  readonly #byDigest = new Map<string, Identity>();

  constructor(customers: Settings['customers']) {
    for (const [tenant, { keys }] of Object.entries(customers)) {
      for (const { id, key } of keys) if (key !== '') this.#byDigest.set(digest(key), { tenant, keyId: id });
    }
  }

  identify(key: string): Identity | undefined {
    return this.#byDigest.get(digest(key));
  }
}
