import { unitVector } from '#shared/cache/vectors.ts';
import { unrestrictedAccess } from '#shared/tenants/key-access.ts';
import { acceptAwaitedJob } from '../accept-job.ts';
import type { Submission } from '../admit-call.ts';
import { readCall } from '../call-body.ts';
import { cancelJob } from '../cancel-job.ts';
import type { IngressParts } from '../ingress-parts.ts';
import type { Asker } from './semantic-look.ts';

const purpose = { 'sluice-purpose': 'semantic-cache' };
const endpoint = '/v1/embeddings';

/**
 * Embeds a text by a job of the tenant that asks: it waits its turn, counts under the tenant's limits and stands in its
 * ledger like any call. Its answer is kept, so that a text that comes again costs nothing.
 */
export async function embedText(
  parts: IngressParts,
  { tenant, axes, namespace }: Asker,
  text: string,
  signal: AbortSignal,
): Promise<Float32Array | undefined> {
  const { model, dimensions } = parts.settings.cache.semantic;
  const body = { model, input: text, ...(dimensions === undefined ? {} : { dimensions }) };
  // The operator named the model; whether the key may call it by itself is another question.
  const access = unrestrictedAccess;
  const options = { tenant, axes, access, priority: 0, delivery: 'retry' } as const;
  const submission: Submission = {
    tenant,
    request: readCall(endpoint, body, parts.router, options, {}, purpose),
    idempotencyKey: undefined,
    deadlineSeconds: undefined,
    runAtMs: undefined,
    cache: { mode: 'exact', namespace },
  };
  const { jobId, awaited } = await acceptAwaitedJob(parts, submission);
  const tooLate = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const outcome = await Promise.race([awaited.outcome, tooLate]);
  awaited.cancel();
  if (outcome) return outcome.head.status === 200 ? vectorIn(outcome.body) : undefined;
  // Nobody will look at it any more.
  await cancelJob(parts, tenant, jobId);
  return undefined;
}

function vectorIn(body: Buffer): Float32Array | undefined {
  const { data } = JSON.parse(body.toString()) as { data?: { embedding?: unknown }[] };
  const values = data?.[0]?.embedding;
  if (!Array.isArray(values) || !values.every((value) => typeof value === 'number')) return undefined;
  return unitVector(values);
}
