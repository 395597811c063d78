import { type SecretBox, secretContext } from '#shared/secrets/secret-box.ts';
import type { OverlayKind } from './overlay-document.ts';

/** Seals and opens what is secret in documents. */
export type OverlaySecrets = Pick<SecretBox, 'seal' | 'open'>;

type Fields = Readonly<Record<string, unknown>>;

/** What of a credential is no secret. Everything else is, also what the configuration does not have yet. */
const publicOfCredentials: readonly string[] = ['weight', 'limit_scope'];
/** What nobody needs to see, though it is no secret that opens anything. */
const unshown: readonly string[] = ['hash', 'key'];
const sealedField = 'sealed';
const shownChars = 4;

const isSecret = (kind: OverlayKind, field: string) =>
  kind === 'credentials' && !publicOfCredentials.includes(field);

/** The document of a credential as it is stored: its secrets sealed for the host that they are sent to. */
export function sealCredential(document: Fields, baseUrl: string, secrets: OverlaySecrets): Fields {
  const entries = Object.entries(document);
  const context = secretContext.providerKey(baseUrl);
  const sealed = entries
    .filter(([field]) => isSecret('credentials', field))
    .map(([field, value]) => [field, secrets.seal(JSON.stringify(value), context)]);
  const open = entries.filter(([field]) => !isSecret('credentials', field));
  return { ...Object.fromEntries(open), [sealedField]: Object.fromEntries(sealed) };
}

/** The document that was stored so. @throws when it was sealed with another key, or for another host */
export function openCredential(stored: Fields, baseUrl: string, secrets: OverlaySecrets): Fields {
  const { [sealedField]: sealed, ...open } = stored;
  if (typeof sealed !== 'object' || sealed === null) return stored;
  const context = secretContext.providerKey(baseUrl);
  const opened = Object.entries(sealed as Record<string, string>).map(([field, secret]) => [
    field,
    JSON.parse(secrets.open(secret, context)) as unknown,
  ]);
  return { ...open, ...Object.fromEntries(opened) };
}

/** The document for people and for the audit: of a secret only how it ends, when it is long enough not to tell it. */
export function showDocument(kind: OverlayKind, document: Fields): Fields {
  const shown = Object.entries(document)
    .filter(([field]) => !unshown.includes(field))
    .map(([field, value]) => [field, isSecret(kind, field) ? masked(value) : value]);
  return Object.fromEntries(shown);
}

function masked(value: unknown): string {
  const tells = typeof value === 'string' && value.length >= shownChars * 4;
  return tells ? `…${value.slice(-shownChars)}` : '…';
}
