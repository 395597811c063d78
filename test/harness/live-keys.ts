import type { Redis } from 'ioredis';
import { systemRandom } from '#shared/kernel/random.ts';
import { OverlayEditor } from '#shared/overlay/overlay-editor.ts';
import { OverlayStore } from '#shared/overlay/overlay-store.ts';
import { createSecretBox } from '#shared/secrets/secret-box.ts';
import { KeyHasher } from '#shared/tenants/key-hash.ts';
import { newVirtualKey, storedKey } from '#shared/tenants/virtual-keys.ts';
import { testSecretKey, testSettings } from './test-settings.ts';

const who = 'root';

export interface LiveKey {
  secret: string;
  headers: Record<string, string>;
  revoke(): Promise<unknown>;
  remove(): Promise<unknown>;
}

/** Makes, revokes and removes virtual keys of the customer `acme` while processes run, as the admin API would. */
export function liveKeys(store: Redis, simulatorUrl: string) {
  const base = testSettings(simulatorUrl);
  const overlay = new OverlayStore({ redis: store, settings: base.overlay });
  const editor = new OverlayEditor(overlay, () => base, createSecretBox([testSecretKey]));
  return async (id: string, more: Record<string, unknown> = {}): Promise<LiveKey> => {
    const secret = newVirtualKey(systemRandom);
    const document = { ...storedKey(secret, new KeyHasher([testSecretKey])), ...more };
    const change = { kind: 'virtual-keys', id: `acme/${id}`, who } as const;
    await editor.put(change, document);
    return {
      secret,
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      revoke: () => editor.put(change, { ...document, is_active: false }),
      remove: () => editor.remove(change),
    };
  };
}
