import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { Random } from '#shared/kernel/random.ts';

const secretBytes = 32;
/** PKCS #8 before the 32 bytes of an ed25519 private key (RFC 8410). */
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * What one endpoint signs with: the shared secret of `v1`, and the private key of `v1a` (both base64). Of the keys
 * before a rotation, `untilMs` says how long they sign beside the new ones.
 */
const signingKeySchema = z.object({
  secret: z.string(),
  seed: z.string(),
  untilMs: z.number().optional(),
});
export type SigningKey = z.output<typeof signingKeySchema>;
const signingKeysSchema = z.array(signingKeySchema).min(1);

export function newSigningKey(random: Random): SigningKey {
  const base64 = () => Buffer.from(random.bytes(secretBytes)).toString('base64');
  return { secret: base64(), seed: base64() };
}

/** The keys after a rotation: the new one first, and the one before it for as long as the overlap lasts. */
export function rotate(keys: readonly SigningKey[], next: SigningKey, untilMs: number): SigningKey[] {
  return [next, { ...keys[0]!, untilMs }];
}

/** The keys that sign at this time. */
export function signingAt(keys: readonly SigningKey[], nowMs: number): SigningKey[] {
  return keys.filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs);
}

export const writeKeys = (keys: readonly SigningKey[]): string => JSON.stringify(keys);
export const readKeys = (text: string): SigningKey[] => signingKeysSchema.parse(JSON.parse(text));

export function privateKeyOf({ seed }: SigningKey): KeyObject {
  const key = Buffer.concat([pkcs8Head, Buffer.from(seed, 'base64')]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

/** The secret in the form of Standard Webhooks, as receivers configure it. */
export const shownSecret = ({ secret }: SigningKey): string => `whsec_${secret}`;

/** The public key in the form of Standard Webhooks: what a receiver verifies `v1a` with. */
export function shownPublicKey(key: SigningKey): string {
  const { x } = createPublicKey(privateKeyOf(key)).export({ format: 'jwk' });
  return `whpk_${Buffer.from(x!, 'base64url').toString('base64')}`;
}
