import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

const scheme = 'AWS4-HMAC-SHA256';
const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();

/** Every access key id has this secret here. */
export const secretOf = (accessKeyId: string) => `secret-of-${accessKeyId}`;

interface Signature {
  accessKeyId: string;
  /** Date, region, service and `aws4_request`. */
  scope: string[];
  signedHeaders: string[];
  signature: string;
}

/** What an Authorization header of AWS says; undefined for every other. */
export function readSignature(authorization: string | undefined): Signature | undefined {
  if (!authorization?.startsWith(scheme)) return undefined;
  const field = (name: string) => new RegExp(`${name}=([^,\\s]+)`).exec(authorization)?.[1] ?? '';
  const [accessKeyId = '', ...scope] = field('Credential').split('/');
  const signedHeaders = field('SignedHeaders').split(';');
  return { accessKeyId, scope, signedHeaders, signature: field('Signature') };
}

/** Whether the request was signed with the secret of its access key (Signature Version 4). */
export function isSignedRightly(request: IncomingMessage, body: Buffer): boolean {
  const signature = readSignature(request.headers.authorization);
  if (!signature) return false;
  const { accessKeyId, scope, signedHeaders } = signature;
  const [path = '/', query = ''] = (request.url ?? '/').split('?');
  const canonical = [
    request.method,
    // Each part of the path is escaped once more than it is sent.
    path.split('/').map(encodeURIComponent).join('/'),
    query.split('&').toSorted().join('&'),
    ...signedHeaders.map((name) => `${name}:${String(request.headers[name] ?? '').trim()}`),
    '',
    signedHeaders.join(';'),
    sha256(body),
  ].join('\n');
  const text = [scheme, String(request.headers['x-amz-date']), scope.join('/'), sha256(canonical)].join('\n');
  const key = scope.reduce<Buffer>(
    (last, part) => hmac(last, part),
    Buffer.from(`AWS4${secretOf(accessKeyId)}`),
  );
  return hmac(key, text).toString('hex') === signature.signature;
}
