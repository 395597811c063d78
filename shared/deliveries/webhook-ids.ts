import { createHash } from 'node:crypto';

const endpointPattern = /^we_[0-9a-f]{32}$/;
const deliveryPattern = /^dlv_([0-9a-f]{32})_([0-9a-f]{32})$/;
const idDigits = 32;

/** The endpoint that holds a tenant's own keys: they sign for URLs that a single job names. */
export const defaultEndpointId = 'default';

export const isEndpointId = (text: string): boolean => endpointPattern.test(text);

/** The endpoint that stands for a URL which a job names itself: one per URL, so that it has its own log and pace. */
export function endpointIdOfUrl(url: string): string {
  return `we_${createHash('sha256').update(url).digest('hex').slice(0, idDigits)}`;
}

/** A delivery is a message on its way to an endpoint; its id names both, so that it can exist once only. */
export function deliveryIdOf(messageId: string, endpointId: string): string {
  return `dlv_${messageId.slice('msg_'.length)}_${endpointId.slice('we_'.length)}`;
}

/** Message and endpoint of a delivery; undefined for what is no id of one. */
export function partsOfDelivery(deliveryId: string): { messageId: string; endpointId: string } | undefined {
  const [, message, endpoint] = deliveryPattern.exec(deliveryId) ?? [];
  return message && endpoint ? { messageId: `msg_${message}`, endpointId: `we_${endpoint}` } : undefined;
}
