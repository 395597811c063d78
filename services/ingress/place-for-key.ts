import type { Endpoint } from '#shared/contracts/endpoint.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { KeyAccess } from '#shared/tenants/key-access.ts';
import type { ModelTable, ServedModel } from './model-table.ts';

/**
 * Where a call of a key goes: what the model name says, or, for a bare name that several providers of the key serve, one
 * of them by the weights of the key.
 *
 * @throws SluiceError model_not_found, provider_blocked or model_blocked
 */
export function placeForKey(
  access: KeyAccess,
  models: ModelTable,
  name: string,
  endpoint: Endpoint,
): ServedModel {
  if (access.weightedProviders.length > 0 && !name.includes('/')) {
    const places = new Map<string, ServedModel>();
    for (const provider of access.weightedProviders) {
      const place = placeAt(models, `${provider}/${name}`, endpoint);
      if (place && access.allowsPlace(place)) places.set(provider, place);
    }
    const chosen = access.nextProvider([...places.keys()]);
    if (chosen !== undefined) return places.get(chosen)!;
  }
  const place = models.resolve(name, endpoint);
  access.refusePlace(place);
  return place;
}

function placeAt(models: ModelTable, name: string, endpoint: Endpoint): ServedModel | undefined {
  try {
    return models.resolve(name, endpoint);
  } catch (error) {
    if (error instanceof SluiceError && error.code === 'model_not_found') return undefined;
    throw error;
  }
}
