import type { ProviderSettings } from '#config/schema.ts';
import type { Operation } from '#shared/contracts/endpoint.ts';

export const withoutSlash = (url: string) => url.replace(/\/+$/, '');

/** Where an operation lives: hosts differ in whether their base URL ends in the version. */
export function versionedUrl({ base_url, version_path }: ProviderSettings, operation: Operation): string {
  const base = withoutSlash(base_url);
  const version = version_path ?? (/\/v\d+$/.test(base) ? '' : '/v1');
  return base + version + operation.slice('/v1'.length);
}
