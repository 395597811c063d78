import type { Dialect, Endpoint } from '#shared/contracts/endpoint.ts';
import { anthropicAdapter } from './anthropic.ts';
import { openaiAdapter } from './openai.ts';
import type { ProviderAdapter } from './provider-adapter.ts';

const adapters: Record<Dialect, ProviderAdapter> = { openai: openaiAdapter, anthropic: anthropicAdapter };

export function adapterOf(dialect: Dialect): ProviderAdapter {
  return adapters[dialect];
}

/** Where an endpoint lives: providers differ in whether their base URL ends in the version. */
export function endpointUrl(baseUrl: string, endpoint: Endpoint): string {
  const base = baseUrl.replace(/\/+$/, '');
  return base.endsWith('/v1') ? `${base}${endpoint.slice('/v1'.length)}` : `${base}${endpoint}`;
}
