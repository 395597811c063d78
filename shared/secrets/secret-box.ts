import { createCipheriv, createDecipheriv, hash, hkdfSync } from 'node:crypto';
import { SluiceError } from '#shared/kernel/errors.ts';
import { type Random, systemRandom } from '#shared/kernel/random.ts';

/**
 * How secrets stand in the store. `context` says what a secret belongs to (see `secretContext`); it is authenticated with
 * the secret, so that one that is copied to another place does not open there.
 */
export interface SecretBox {
  /** Whether there is a key to seal with. */
  readonly canSeal: boolean;
  /** @throws SluiceError secret_key_missing */
  seal(secret: string, context: string): string;
  /** Also of a secret from before there was a key, which stands as it is. @throws SluiceError secret_unreadable */
  open(stored: string, context: string): string;
  /** Whether it is sealed with the newest key; if not, whoever writes the record next seals it again. */
  isCurrent(stored: string): boolean;
}

/** What a secret is bound to. */
export const secretContext = {
  /** A provider key serves one host: a changed `base_url` must not carry it somewhere else. */
  providerKey: (baseUrl: string) => `provider key of ${new URL(baseUrl).origin}`,
  webhook: (tenant: string, endpointId: string) => `webhook keys of ${tenant}/${endpointId}`,
};

/** A sealed secret: this mark, the id of its key, and base64url of nonce, ciphertext and tag, with dots between. */
const mark = 'sealed1';
const cipher = 'aes-256-gcm';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const idLength = 8;

interface SealingKey {
  id: string;
  key: Buffer;
}

function sealingKey(text: string): SealingKey {
  const key = Buffer.from(hkdfSync('sha256', text, '', `sluice ${mark}`, keyBytes));
  return { id: hash('sha256', key, 'hex').slice(0, idLength), key };
}

/** AES-256-GCM with the first of `keys`; the others open what they sealed before the first one came. */
export function createSecretBox(keys: readonly string[], random: Random = systemRandom): SecretBox {
  const sealing = keys.map(sealingKey);
  const [newest] = sealing;
  return {
    canSeal: newest !== undefined,
    seal(secret, context) {
      if (!newest) throw new SluiceError('secret_key_missing');
      const nonce = Buffer.from(random.bytes(nonceBytes));
      const sealed = createCipheriv(cipher, newest.key, nonce).setAAD(aadOf(newest, context));
      const bytes = [nonce, sealed.update(secret, 'utf8'), sealed.final(), sealed.getAuthTag()];
      return [mark, newest.id, Buffer.concat(bytes).toString('base64url')].join('.');
    },
    open(stored, context) {
      if (!isSealed(stored)) return stored;
      const [, id, body = ''] = stored.split('.');
      const key = sealing.find((each) => each.id === id);
      if (!key) throw unreadable(`the key that sealed it (${id}) is not configured`);
      return decrypt(key, Buffer.from(body, 'base64url'), context);
    },
    isCurrent: (stored) => isSealed(stored) && stored.split('.')[1] === newest?.id,
  };
}

const isSealed = (stored: string) => stored.startsWith(`${mark}.`);
const aadOf = ({ id }: SealingKey, context: string) => Buffer.from(`${mark} ${id} ${context}`);
const unreadable = (reason: string) => new SluiceError('secret_unreadable', { fields: { reason } });

function decrypt(key: SealingKey, bytes: Buffer, context: string): string {
  try {
    const decipher = createDecipheriv(cipher, key.key, bytes.subarray(0, nonceBytes));
    decipher.setAAD(aadOf(key, context)).setAuthTag(bytes.subarray(-tagBytes));
    const text = decipher.update(bytes.subarray(nonceBytes, -tagBytes));
    return Buffer.concat([text, decipher.final()]).toString('utf8');
  } catch {
    throw unreadable(`it was sealed for something else than the ${context}, or was changed`);
  }
}
