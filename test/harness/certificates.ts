import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

/** DER: a tag, the length and the contents. */
function der(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
const sequence = (...contents: Buffer[]) => der(0x30, ...contents);
const identifier = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
const ecdsaWithSha256 = sequence(identifier('2a8648ce3d040302'));
const commonName = identifier('550403');
const subjectAltName = identifier('551d11');
const basicConstraints = identifier('551d13');
const isAuthority = sequence(der(0x01, Buffer.from([0xff])));
const validity = sequence(der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from('491231235959Z')));

const named = (name: string) => sequence(der(0x31, sequence(commonName, der(0x0c, Buffer.from(name)))));
const extension = (id: Buffer, value: Buffer) => sequence(id, der(0x04, value));
const altName = (name: string) =>
  isIPv4(name) ? der(0x87, Buffer.from(name.split('.').map(Number))) : der(0x82, Buffer.from(name));

export interface Certificate {
  key: string;
  cert: string;
}

function certify(subject: string, names: string[], issuer: { name: string; key: KeyObject } | undefined) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const extensions = issuer
    ? extension(subjectAltName, sequence(...names.map(altName)))
    : extension(basicConstraints, isAuthority);
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ecdsaWithSha256,
    named(issuer?.name ?? subject),
    validity,
    named(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(extensions)),
  );
  const signature = sign('sha256', content, issuer?.key ?? privateKey);
  const whole = sequence(content, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature));
  const lines = whole.toString('base64').replaceAll(/.{64}/g, '$&\n');
  const cert = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
  return { privateKey, cert };
}

/** An authority of a test's own, that issues certificates for names and IPv4 addresses. */
export function newAuthority(name: string): { cert: string; issue: (...names: string[]) => Certificate } {
  const { privateKey, cert } = certify(name, [], undefined);
  return {
    cert,
    issue: (...names) => {
      const issued = certify(names[0]!, names, { name, key: privateKey });
      const key = issued.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
      return { key, cert: issued.cert };
    },
  };
}
