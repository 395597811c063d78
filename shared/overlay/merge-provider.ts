import { providerSchema } from '#config/provider-schema.ts';
import type { ProviderSettings } from '#config/schema.ts';
import { describeError } from '#shared/kernel/errors.ts';
import { type Merge, partsOf, reasonOf, refusal } from './document-verdict.ts';
import type { OverlayDocument } from './overlay-document.ts';
import { type OverlaySecrets, openCredential } from './secret-fields.ts';

type Fields = Record<string, unknown>;

const fresh: Fields = { credentials: [], pools: {} };

/** A provider of the file, or a new one, with the documents of itself, its credentials and its pools. */
export function mergeProvider(
  base: ProviderSettings | undefined,
  provider: string,
  documents: readonly OverlayDocument[],
  secrets: OverlaySecrets,
): Merge<ProviderSettings> {
  const refused: Merge<ProviderSettings>['refused'] = [];
  let merged = base;
  for (const document of documents) {
    const candidate = withDocument(merged, document, secrets);
    const parsed = typeof candidate === 'string' ? undefined : providerSchema.safeParse(candidate);
    if (parsed?.success) merged = withoutEmptyCredentials(parsed.data);
    else {
      const reason = parsed ? reasonOf(parsed.error) : (candidate as string);
      refused.push(refusal(document, reason.replaceAll('{provider}', provider)));
    }
  }
  return { merged, refused };
}

/** The provider as the document wants it, or why it cannot be. */
function withDocument(
  merged: ProviderSettings | undefined,
  { kind, id, document }: OverlayDocument,
  secrets: OverlaySecrets,
): Fields | string {
  if (kind === 'providers') return withProvider(merged, id, document);
  const [, part] = partsOf(id, 2) ?? [];
  if (part === undefined) return 'its id is not <provider>/<name>';
  if (!merged) return 'there is no provider {provider}';
  if (kind === 'credentials') {
    try {
      const opened = openCredential(document, merged.base_url, secrets);
      return { ...merged, credentials: withCredential(merged, part, opened) };
    } catch (error) {
      return describeError(error);
    }
  }
  const pool = Object.hasOwn(merged.pools, part) ? merged.pools[part] : undefined;
  return { ...merged, pools: { ...merged.pools, [part]: withPool(pool, document) } };
}

function withProvider(
  merged: ProviderSettings | undefined,
  id: string,
  document: OverlayDocument['document'],
): Fields | string {
  if (partsOf(id, 1) === undefined) return 'its id is not a name';
  if ('credentials' in document || 'pools' in document)
    return 'credentials and pools are documents of their own';
  const { credentials, pools } = (merged ?? fresh) as Pick<ProviderSettings, 'credentials' | 'pools'>;
  const moved =
    merged !== undefined && originOf(document.base_url ?? merged.base_url) !== originOf(merged.base_url);
  // A key serves the host it was given for: those of the file do not follow the provider to another one.
  return { ...merged, ...document, credentials: moved ? [] : credentials, pools };
}

const originOf = (url: unknown) => (URL.canParse(String(url)) ? new URL(String(url)).origin : undefined);

function withCredential(
  { credentials }: ProviderSettings,
  id: string,
  document: OverlayDocument['document'],
) {
  const index = credentials.findIndex((each) => each.id === id);
  if (index === -1) return [...credentials, { ...document, id }];
  return credentials.with(index, { ...credentials[index]!, ...document, id });
}

/** The ceilings of the file come with its tier; another tier brings its own. */
function withPool(
  pool: ProviderSettings['pools'][string] | undefined,
  document: OverlayDocument['document'],
): Fields {
  if (!pool) return document;
  const { ceilings, ...rest } = pool;
  const otherTier = 'tier' in document && document.tier !== pool.tier;
  return otherTier ? { ...rest, ...document } : { ...rest, ceilings, ...document };
}

/** As in the file: a credential without a key does not exist. */
function withoutEmptyCredentials(provider: ProviderSettings): ProviderSettings {
  return { ...provider, credentials: provider.credentials.filter(({ api_key }) => /[^:]/.test(api_key)) };
}
