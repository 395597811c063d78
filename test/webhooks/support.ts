import type { TestSluice } from '../harness/sluice.ts';
import type { SettingsOverrides } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

/** Receivers on loopback, and a schedule whose hours are milliseconds. */
export const compressed = {
  allow_private: true,
  retry_schedule_ms: [0, 20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000],
  sweep_ms: 100,
  claim_ms: 1_000,
  recheck_ms: 1_000,
  attempt_timeout_ms: 1_000,
} satisfies SettingsOverrides['webhooks'];

export interface EndpointObject {
  id: string;
  url: string;
  status: string;
  status_reason: string | null;
  failing_since: number | null;
  waiting: number;
  public_key: string;
  secret: string;
}

export interface DeliveryObject {
  id: string;
  message: string;
  type: string;
  status: string;
  attempts: { status: number | null; error: string | null }[];
}

export interface JobMessage {
  type: string;
  timestamp: string;
  data: {
    id: string;
    status: string;
    result: unknown;
    result_inline: boolean;
    urls: { result: string };
    error: { code: string } | null;
  };
}

const base = '/v1/webhook-endpoints';

export async function createEndpoint(
  sluice: TestSluice,
  url: string,
  more: Record<string, unknown> = {},
): Promise<EndpointObject> {
  const response = await sluice.post(base, { url, ...more });
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  return (await response.json()) as EndpointObject;
}

export async function endpointOf(sluice: TestSluice, id: string): Promise<EndpointObject> {
  return (await (await sluice.get(`${base}/${id}`)).json()) as EndpointObject;
}

export async function changeEndpoint(
  sluice: TestSluice,
  id: string,
  change: Record<string, unknown>,
): Promise<Response> {
  return fetch(`${sluice.url}${base}/${id}`, {
    method: 'PATCH',
    headers: { authorization: 'Bearer sk-sl-test', 'content-type': 'application/json' },
    body: JSON.stringify(change),
  });
}

export async function deliveriesOf(sluice: TestSluice, id: string): Promise<DeliveryObject[]> {
  const response = await sluice.get(`${base}/${id}/deliveries?limit=100`);
  return ((await response.json()) as { data: DeliveryObject[] }).data;
}

/** Resolves when every delivery of the endpoint has this status, and there are `count` of them. */
export function untilDeliveries(
  sluice: TestSluice,
  id: string,
  status: string,
  count: number,
): Promise<DeliveryObject[]> {
  return until(`${count} deliveries are ${status}`, async () => {
    const deliveries = await deliveriesOf(sluice, id);
    return deliveries.length === count && deliveries.every((each) => each.status === status)
      ? deliveries
      : undefined;
  });
}

/** Makes a chat call and returns its job's id and answer. */
export async function callChat(
  sluice: TestSluice,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{ job: string; text: string; status: number }> {
  const response = await sluice.post('/v1/chat/completions', body, headers);
  return {
    job: response.headers.get('x-sluice-job-id')!,
    text: await response.text(),
    status: response.status,
  };
}
