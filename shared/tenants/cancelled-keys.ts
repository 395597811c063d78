import type { Settings } from '#config/schema.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import type { Identity } from './virtual-keys.ts';

type KeyName = Pick<Identity, 'tenant' | 'keyId'>;

/** Removed keys that are remembered; the one that was removed first is forgotten first. */
const removedMax = 10_000;
const nameOf = ({ tenant, keyId }: KeyName) => `${tenant} ${keyId}`;

/**
 * The keys whose calls are to be cancelled: those that are revoked with `on_revoke: cancel`, and those that had it and
 * have left the settings while this process ran. A process that never knew a key cancels nothing of it: it may know it
 * only later than others do.
 *
 *   (unknown) ──named with cancel──▶ kept ──revoked, or gone──▶ cancelled ──named and active again──▶ kept
 */
export class CancelledKeys {
  readonly #subscribers = new Set<() => void>();
  #kept = new Map<string, KeyName>();
  #cancelled = new Map<string, KeyName>();

  constructor(live: Live<Pick<Settings, 'customers'>>) {
    this.#adopt(live.current.customers);
    live.subscribe(({ customers }) => this.#adopt(customers));
  }

  /** Whether there is any; a call is looked at only then. */
  get isEmpty(): boolean {
    return this.#cancelled.size === 0;
  }

  has(tenant: string, keyId: string): boolean {
    return this.#cancelled.has(nameOf({ tenant, keyId }));
  }

  all(): KeyName[] {
    return [...this.#cancelled.values()];
  }

  /** Calls back whenever keys may have become cancelled, until the returned function is called. */
  subscribe(onChange: () => void): () => void {
    const subscriber = () => onChange();
    this.#subscribers.add(subscriber);
    return () => void this.#subscribers.delete(subscriber);
  }

  #adopt(customers: Settings['customers']): void {
    const kept = new Map<string, KeyName>();
    const cancelled = new Map<string, KeyName>();
    const present = new Set<string>();
    for (const [tenant, customer] of Object.entries(customers)) {
      for (const { id: keyId, is_active, on_revoke } of customer.keys) {
        const key = { tenant, keyId };
        present.add(nameOf(key));
        if (on_revoke === 'cancel') (is_active ? kept : cancelled).set(nameOf(key), key);
      }
    }
    const removed = [...this.#cancelled, ...this.#kept].filter(([name]) => !present.has(name));
    for (const [name, key] of removed.slice(-removedMax)) cancelled.set(name, key);
    this.#kept = kept;
    this.#cancelled = cancelled;
    for (const tell of this.#subscribers) tell();
  }
}
