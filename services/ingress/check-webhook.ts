import type { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import { isEndpointId } from '#shared/deliveries/webhook-ids.ts';

/**
 * Who is to hear of one job: an endpoint of the tenant, or a URL, for which the tenant's own keys sign. `param` is
 * where the caller named it.
 *
 * @throws SluiceError webhook_endpoint_not_found, webhook_url_refused or secret_key_missing
 */
export async function checkWebhook(
  endpoints: EndpointStore,
  tenant: string,
  webhook: string | undefined,
  param: string,
): Promise<string | undefined> {
  if (webhook === undefined) return undefined;
  if (isEndpointId(webhook)) return (await endpoints.read(tenant, webhook, param)).id;
  endpoints.refuseUrl(webhook, param);
  endpoints.requireSecretKey();
  await endpoints.register(tenant);
  return webhook;
}
