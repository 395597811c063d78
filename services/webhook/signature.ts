import { createHmac, sign } from 'node:crypto';
import { privateKeyOf, type SigningKey } from '#shared/deliveries/signing-keys.ts';

/**
 * The headers of one attempt by Standard Webhooks 1.0.0. Every key signs twice, with its shared secret (`v1`,
 * HMAC-SHA256) and its private key (`v1a`, ed25519), over `<id>.<timestamp>.<body>`.
 */
export function signedHeaders(
  messageId: string,
  nowMs: number,
  body: string,
  keys: readonly SigningKey[],
): Record<string, string> {
  const timestamp = String(Math.floor(nowMs / 1_000));
  const content = Buffer.from(`${messageId}.${timestamp}.${body}`);
  const signatures = keys.flatMap((key) => [
    `v1,${createHmac('sha256', Buffer.from(key.secret, 'base64')).update(content).digest('base64')}`,
    `v1a,${sign(null, content, privateKeyOf(key)).toString('base64')}`,
  ]);
  return {
    'webhook-id': messageId,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  };
}
