import type { Clock } from '#shared/kernel/clock.ts';
import { endOf, mayUse, type VirtualKey, type VirtualKeys } from '#shared/tenants/virtual-keys.ts';
import { closeCodes } from './messages.ts';

/** Who opened a socket, and from where. */
export interface SocketCaller {
  key: VirtualKey;
  address: string;
}

/** The key of an open socket as it stands now, or why the socket must be closed. */
export type KeyVerdict = { key: VirtualKey } | { code: number; reason: string };

/** A key that may not open a socket any more does not keep one open either. */
export function judgeKey(
  { virtualKeys, clock }: { readonly virtualKeys: VirtualKeys; clock: Clock },
  { key: { identity }, address }: SocketCaller,
): KeyVerdict {
  const key = virtualKeys.ofIdentity(identity);
  const end = key ? endOf(key, clock.nowMs()) : 'key_revoked';
  if (end === 'key_expired') return { code: closeCodes.keyExpired, reason: 'the key has expired' };
  if (!key || end) return { code: closeCodes.keyRevoked, reason: 'the key was revoked' };
  if (mayUse(key, 'jobs') && key.access.allowsAddress(address)) return { key };
  return { code: closeCodes.notAllowed, reason: 'the key may no longer open this socket' };
}
