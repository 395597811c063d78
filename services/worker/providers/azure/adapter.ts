import type { ProviderSettings } from '#config/schema.ts';
import type { Operation } from '#shared/contracts/endpoint.ts';
import { openaiWire } from '../openai/wire.ts';
import type { ProviderAdapter } from '../provider-adapter.ts';
import { withoutSlash } from '../versioned-url.ts';

/** Version of the API under `/openai/deployments`; the newer `/openai/v1` needs none. */
const defaultVersion = '2024-10-21';

function urlOf({ base_url, api_version }: ProviderSettings, operation: Operation, model: string): string {
  const base = withoutSlash(base_url);
  const path = operation.slice('/v1'.length);
  if (base.endsWith('/openai/v1'))
    return base + path + (api_version === undefined ? '' : `?api-version=${api_version}`);
  const root = base.endsWith('/openai') ? base : `${base}/openai`;
  // The Responses API names its deployment in the body.
  const deployment = operation === '/v1/responses' ? '' : `/deployments/${encodeURIComponent(model)}`;
  return `${root}${deployment}${path}?api-version=${api_version ?? defaultVersion}`;
}

/** Azure OpenAI: OpenAI's dialect; a model is a deployment. */
export const azureAdapter: ProviderAdapter = {
  wire: openaiWire,
  address: ({ operation, model, headers, body }, settings, { secret }) => ({
    url: urlOf(settings, operation, model),
    headers: { ...headers, 'api-key': secret },
    body,
  }),
};
