import { Sha256 } from '@aws-crypto/sha256-js';
import { SignatureV4 } from '@smithy/signature-v4';
import type { AddressedCall, SendingKey } from '../provider-adapter.ts';

const service = 'bedrock';

interface AccessKey {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}

/** `id:secret` or `id:secret:session token`; undefined for a key that is sent as it is. */
function accessKeyOf(secret: string): AccessKey | undefined {
  const [accessKeyId, secretAccessKey, sessionToken] = secret.split(':');
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

/** Signs with an access key (SigV4), or sends an API key of Bedrock as it is. */
export async function signRequest(
  { url, headers, body }: AddressedCall,
  region: string,
  { secret, nowMs }: SendingKey,
): Promise<AddressedCall> {
  const credentials = accessKeyOf(secret);
  if (!credentials) return { url, headers: { ...headers, authorization: `Bearer ${secret}` }, body };
  const { protocol, hostname, port, pathname, host } = new URL(url);
  const signer = new SignatureV4({ credentials, region, service, sha256: Sha256 });
  const signed = await signer.sign(
    {
      method: 'POST',
      protocol,
      hostname,
      ...(port === '' ? {} : { port: Number(port) }),
      path: pathname,
      headers: { ...headers, host },
      body,
    },
    { signingDate: new Date(nowMs) },
  );
  return { url, headers: signed.headers, body };
}
