import { type Endpoint, endpointDialect } from '#shared/contracts/endpoint.ts';
import { errorBody } from '#shared/contracts/error-body.ts';
import type { Outcome, OutcomeHead } from '#shared/contracts/outcome.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { JobBodies } from './job-bodies.ts';

/** The head of an outcome as its record holds it: a large body is named there instead of lying beside it. */
export type StoredHead = OutcomeHead & { bodyBlob?: string };

export const outcomeFields = ['head', 'body', 'endpoint'] as const;

/**
 * The outcome of a record read with HMGET of `outcomeFields`; undefined while it has none.
 *
 * @throws SluiceError blobs_unavailable
 */
export async function outcomeOf(
  bodies: JobBodies,
  tenant: string,
  [head, body, endpoint]: readonly (Buffer | null)[],
): Promise<Outcome | undefined> {
  if (!head || !body) return undefined;
  const { bodyBlob, ...rest } = JSON.parse(head.toString()) as StoredHead;
  if (bodyBlob === undefined) return { head: rest, body };
  const kept = await bodies.read(tenant, bodyBlob);
  return kept ? { head: rest, body: kept } : goneOutcome(rest, endpoint!.toString() as Endpoint);
}

/** Whoever waits must hear that the answer is gone, or it would be looked for for ever. */
function goneOutcome(head: OutcomeHead, endpoint: Endpoint): Outcome {
  const error = new SluiceError('body_gone', { fields: { part: 'answer' } });
  const body = Buffer.from(errorBody(endpointDialect[endpoint], error, head.job));
  const { streamed: _streamed, ...whole } = head;
  return {
    head: { ...whole, status: error.entry.status, contentType: 'application/json', error: error.code },
    body,
  };
}
