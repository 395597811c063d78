import { type Endpoint, isTranslated } from '#shared/contracts/endpoint.ts';
import type { TokenEstimate } from '#shared/contracts/job.ts';
import type { KeyAccess } from '#shared/tenants/key-access.ts';
import { translateCall } from '#shared/translation/translate-call.ts';
import { translateEmbedding } from '#shared/translation/translate-embedding.ts';
import type { ModelTable, ServedModel } from './model-table.ts';
import { placeForKey } from './place-for-key.ts';

type Fields = Record<string, unknown>;

export interface PlaceableCall {
  endpoint: Endpoint;
  body: Fields;
  tenant: string;
  /** What its key may call. */
  access: KeyAccess;
}

export interface PlacedCall {
  place: ServedModel;
  tokens: TokenEstimate;
  /** Parameters that the provider's dialect has no word for. */
  dropped?: string[];
}

/** Where a call goes when it names this model, and what it is reckoned with there. @throws SluiceError */
export function placeCall(models: ModelTable, name: string, call: PlaceableCall): PlacedCall {
  const { endpoint, body, tenant } = call;
  const place = placeForKey(call.access, models, name, endpoint);
  const { dropped, reckoned } = readTranslated(endpoint, body, place, models);
  const tokens = models.reckon(place, reckoned, tenant, endpoint);
  return dropped ? { place, tokens, dropped } : { place, tokens };
}

/**
 * A call for a provider of another dialect is translated now, too, so that what cannot be said there is refused at once.
 * It is stored in the caller's own dialect: another pool may yet serve it.
 */
function readTranslated(
  endpoint: Endpoint,
  body: Fields,
  place: ServedModel,
  models: ModelTable,
): { reckoned: Fields; dropped?: string[] } {
  if (!isTranslated(endpoint, place.dialect)) return { reckoned: body };
  if (endpoint === '/v1/embeddings') return embedded(body, place.model);
  const { options, dropped } = translateCall(
    endpoint,
    body,
    place.dialect,
    models.maxTokensTranslated(place),
  );
  const max = options.maxOutputTokens;
  const reckoned = max === undefined ? body : { ...body, max_completion_tokens: max };
  return dropped.length > 0 ? { reckoned, dropped } : { reckoned };
}

function embedded(body: Fields, model: string): { reckoned: Fields; dropped?: string[] } {
  const { dropped } = translateEmbedding(body, model);
  return dropped.length > 0 ? { reckoned: body, dropped } : { reckoned: body };
}
