import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';

/**
 * The authorities that certificates of receivers may come from: the usual ones, and those of the file.
 *
 * @throws Error when the file cannot be read or holds no certificate
 */
export function trustedAuthorities(file: string | undefined): string[] | undefined {
  if (file === undefined) return undefined;
  try {
    const own = readFileSync(file, 'utf8');
    // Node itself would pass over a file without certificates in silence.
    new X509Certificate(own);
    return [...getCACertificates('default'), own];
  } catch (error) {
    throw new Error(`webhooks.ca_file cannot be used: ${(error as Error).message}`, { cause: error });
  }
}
