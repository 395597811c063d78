import type { SharedV4ProviderMetadata, SharedV4ProviderOptions } from '@ai-sdk/provider';
import { isObject } from './fields.ts';

const mark = 'sluice.';

/**
 * Reasoning is signed by its provider, which wants it back unchanged with the next turn (Anthropic's signatures, Gemini's
 * thought signatures). Other dialects have no place of that meaning but have opaque ones, so what the provider said of a
 * part travels there as one opaque text, and comes back with the conversation: nothing is kept here.
 */
export function sealOf(metadata: SharedV4ProviderMetadata | undefined): string | undefined {
  if (!metadata || Object.keys(metadata).length === 0) return undefined;
  return mark + Buffer.from(JSON.stringify(metadata)).toString('base64url');
}

export const isSeal = (value: unknown): value is string =>
  typeof value === 'string' && value.startsWith(mark);

export const isSealedBytes = (bytes: unknown): boolean =>
  typeof bytes === 'string' && isSeal(Buffer.from(bytes, 'base64').toString());

/** What a seal says; undefined for anything that is none. */
export function readSealed(seal: unknown): SharedV4ProviderOptions | undefined {
  if (!isSeal(seal)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(seal.slice(mark.length), 'base64url').toString());
    return isObject(value) && Object.values(value).every(isObject)
      ? (value as SharedV4ProviderOptions)
      : undefined;
  } catch {
    return undefined;
  }
}

/** The seal of a tool's call: of what providers say of one, only a signature is wanted back. */
export function sealOfCall(metadata: SharedV4ProviderMetadata | undefined): string | undefined {
  const signed = Object.entries(metadata ?? {}).filter(([, said]) => said.thoughtSignature !== undefined);
  return sealOf(Object.fromEntries(signed));
}

/** A seal where the dialect wants bytes, in base64. */
export function sealedBytesOf(metadata: SharedV4ProviderMetadata | undefined): string | undefined {
  const seal = sealOf(metadata);
  return seal === undefined ? undefined : Buffer.from(seal).toString('base64');
}

export function readSealedBytes(bytes: unknown): SharedV4ProviderOptions | undefined {
  return typeof bytes === 'string' ? readSealed(Buffer.from(bytes, 'base64').toString()) : undefined;
}
