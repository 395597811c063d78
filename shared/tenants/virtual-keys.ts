import type { CustomerSettings, KeyScope, KeySettings } from '#config/customer-schema.ts';
import type { Settings } from '#config/schema.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Random } from '#shared/kernel/random.ts';
import { KeyAccess, unrestrictedAccess } from './key-access.ts';
import type { KeyHasher } from './key-hash.ts';

/** Who calls: the key, and whom it acts for. */
export interface Identity {
  tenant: string;
  keyId: string;
  team?: string | undefined;
}

/** A virtual key as it stands in the settings. */
export interface VirtualKey {
  identity: Identity;
  access: KeyAccess;
  /** Undefined: it may be used for everything. */
  scopes: readonly KeyScope[] | undefined;
  expiresAtMs: number | undefined;
  isActive: boolean;
}

const keyBytes = 24;
const prefixLength = 9;
const lastLength = 4;

/** A key that nobody can guess. */
export function newVirtualKey(random: Random): string {
  return `sk-sl-${Buffer.from(random.bytes(keyBytes)).toString('base64url')}`;
}

/** What is kept of a key: enough to know it again, for Sluice and for people, and not enough to use it. */
export function storedKey(
  key: string,
  hasher: KeyHasher,
): Required<Pick<KeySettings, 'hash' | 'prefix' | 'last_four'>> {
  return { hash: hasher.stored(key), prefix: key.slice(0, prefixLength), last_four: key.slice(-lastLength) };
}

/**
 * The virtual keys of the settings, found by their HMAC, so that no comparison depends on the secret. A look-up is one
 * HMAC and one look into a map; nothing is asked of Redis.
 */
export class VirtualKeys {
  readonly #byHash = new Map<string, VirtualKey>();
  readonly #byId = new Map<string, VirtualKey>();
  readonly #hasher: KeyHasher;

  constructor(customers: Settings['customers'], hasher: KeyHasher) {
    this.#hasher = hasher;
    for (const [tenant, customer] of Object.entries(customers)) this.#addCustomer(tenant, customer);
  }

  /** The key, whether or not it may be used at present. */
  find(key: string): VirtualKey | undefined {
    for (const hash of this.#hasher.candidates(key)) {
      const found = this.#byHash.get(hash);
      if (found) return found;
    }
    return undefined;
  }

  ofIdentity({ tenant, keyId }: Pick<Identity, 'tenant' | 'keyId'>): VirtualKey | undefined {
    return this.#byId.get(`${tenant} ${keyId}`);
  }

  #addCustomer(tenant: string, customer: CustomerSettings): void {
    for (const key of customer.keys) {
      const made = makeKey(tenant, customer, key);
      this.#byId.set(`${tenant} ${key.id}`, made);
      const hash = key.key === '' ? key.hash : this.#hasher.hash(key.key);
      // Of two that were given the same secret, which the settings refuse where they can see it, the first one holds.
      if (hash !== undefined && !this.#byHash.has(hash)) this.#byHash.set(hash, made);
    }
  }
}

function makeKey(tenant: string, customer: CustomerSettings, key: KeySettings): VirtualKey {
  const { id, team, expires_at, scopes, is_active } = key;
  const levels = [customer, (team !== undefined && customer.teams[team]) || {}, key];
  const access = new KeyAccess(levels, key.provider_configs);
  return {
    identity: { tenant, keyId: id, ...(team === undefined ? {} : { team }) },
    access: access.unrestricted ? unrestrictedAccess : access,
    scopes,
    expiresAtMs: expires_at ? Date.parse(expires_at) : undefined,
    isActive: is_active,
  };
}

/** Why a key may not be used any more; undefined: it may. */
export function endOf(key: VirtualKey, nowMs: number): 'key_revoked' | 'key_expired' | undefined {
  if (!key.isActive) return 'key_revoked';
  return key.expiresAtMs !== undefined && key.expiresAtMs <= nowMs ? 'key_expired' : undefined;
}

/** @throws SluiceError key_revoked or key_expired */
export function refuseEnded(key: VirtualKey, nowMs: number): void {
  const end = endOf(key, nowMs);
  if (end !== undefined) throw new SluiceError(end);
}

export const mayUse = ({ scopes }: VirtualKey, scope: KeyScope) => scopes?.includes(scope) ?? true;
