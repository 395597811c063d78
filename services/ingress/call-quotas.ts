import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Settings } from '#config/schema.ts';
import type { JobRequest } from '#shared/contracts/job.ts';
import type { Accepted } from '#shared/jobs/accepted.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { type Charge, chargesOf, encodeCharges, heldOutput, keyById } from '#shared/quotas/charges.ts';
import { lookAtQuotas } from '#shared/quotas/look.ts';
import { isTold, rateHeaders } from '#shared/quotas/rate-headers.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import type { Prices } from '#shared/tokens/price.ts';
import { readAxes } from './call-axes.ts';

/** What a call is held to when it is accepted. */
export interface CallQuotas {
  charges: Charge[];
  /** As the script takes them. */
  text: string | undefined;
  keyDepthLimit: number | undefined;
  /** The maximum of output that its provider is asked for, when it names none and a budget counts it. */
  outputCap?: number | undefined;
}

/** What a call is held to that costs nothing. */
export const noQuotas: CallQuotas = { charges: [], text: undefined, keyDepthLimit: undefined };

const anyDepth = 10_000_000;

const keyOf = ({ customers }: Settings, tenant: string, keyId: string) => {
  const customer = customers[tenant];
  return customer && keyById(customer, keyId);
};

/** The most a call may cost, wherever its route takes it: the dearest target of those whose price is known. */
function worstPrice(prices: Prices, { provider, model, tokens, route }: JobRequest, asked: number) {
  const first = prices.worstCase({ provider, model }, { ...tokens, asked });
  if (first === undefined || !route) return first;
  const others = route.targets.map((each) => prices.worstCase(each, { ...each.tokens, asked }) ?? 0);
  return Math.max(first, ...others);
}

/** @throws SluiceError price_unknown */
export function quotasOf(
  { settings, prices }: { settings: Settings; prices: Prices },
  tenant: string,
  request: JobRequest,
): CallQuotas {
  const { axes, provider, model, tokens, outputCap } = request;
  const held = heldOutput(tokens, settings.quotas.open_output_tokens);
  const chargesFor = (output: number) =>
    chargesOf(settings.customers, tenant, {
      ...{ axes, place: { provider, model }, input: tokens.input, isOpen: held.isOpen, output },
      price: () => worstPrice(prices, request, output),
    });
  const fits = (output: number) => chargesFor(output).every(({ cost, limit }) => cost <= limit.capacity);
  // A cap of ours refuses no call for good: it gives way to what there is at most.
  const choices = outputCap === undefined ? 1 : held.output / outputCap;
  const cap = outputCap && largest(outputCap, (tokensEach) => fits(tokensEach * choices));
  const charges = chargesFor(cap ? cap * choices : held.output);
  const { max_queue_depth, warn_queue_depth } = keyOf(settings, tenant, axes.key) ?? {};
  const keyDepthLimit = max_queue_depth ?? (warn_queue_depth === undefined ? undefined : anyDepth);
  return {
    charges,
    text: encodeCharges(charges, settings.quotas),
    keyDepthLimit,
    outputCap: cap || outputCap,
  };
}

/** The largest number from 1 to `most` that fits, if those below it do too; 0 when not even 1 does. */
function largest(most: number, fits: (number: number) => boolean): number {
  if (fits(most)) return most;
  let [low, high] = [0, most];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** What the answer tells its caller of its quotas. */
export type TellQuotas = (headers: Record<string, string>) => void;

/** Headers of an answer to a call that was taken in or refused. */
export function quotaHeaders(
  settings: Settings,
  tenant: string,
  { axes }: JobRequest,
  { charges }: CallQuotas,
  accepted: Accepted,
): Record<string, string> {
  const headers = 'counted' in accepted ? rateHeaders(charges, accepted.counted ?? []) : {};
  const depth = accepted.kind === 'accepted' ? accepted.keyDepth : undefined;
  const { max_queue_depth, warn_queue_depth = anyDepth } = keyOf(settings, tenant, axes.key) ?? {};
  if (depth === undefined || depth < warn_queue_depth) return headers;
  const limit = max_queue_depth === undefined ? '' : `;limit=${max_queue_depth}`;
  return { ...headers, 'x-sluice-backpressure': `queue;depth=${depth}${limit}` };
}

const told = new WeakSet<FastifyRequest>();

/** Sets the headers at once, so that an answer that is streamed carries them too. */
export function tellBy(reply: FastifyReply): TellQuotas {
  return (headers) => {
    // A call that joined another one, or found the queue full, was not counted: the hook below looks.
    if (Object.keys(headers).length > 0) told.add(reply.request);
    reply.headers(headers);
  };
}

/** Answers to anything but a call tell how its caller stands, too. Callers without quotas cost nothing. */
export function tellQuotasEverywhere(
  app: FastifyInstance,
  parts: { readonly settings: Settings; redis: RedisConnection },
): void {
  app.addHook('onSend', (request, reply) => tellStanding(parts, request, reply));
}

/** Tells a caller that was not told yet how it stands: for a stream, before its headers go out. */
export async function tellStanding(
  parts: { readonly settings: Settings; redis: RedisConnection },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  if (told.has(request) || request.identity === undefined) return;
  told.add(request);
  const headers = await standing(parts, request).catch((error: unknown) => {
    // Whatever is wrong is not what the caller asked about.
    if (!(error instanceof SluiceError)) throw error;
    return {};
  });
  reply.headers(headers);
}

async function standing(
  { settings, redis }: { readonly settings: Settings; redis: RedisConnection },
  request: FastifyRequest,
): Promise<Record<string, string>> {
  const { tenant } = request.identity;
  const nothing = { input: 0, output: 0, isOpen: false, price: () => 0 };
  const call = { axes: readAxes(request), place: undefined, ...nothing };
  const charges = chargesOf(settings.customers, tenant, call)
    .filter(({ limit }) => isTold(limit))
    .map((each) => ({ ...each, cost: 0 }));
  const text = encodeCharges(charges, settings.quotas);
  return text === undefined ? {} : rateHeaders(charges, await lookAtQuotas(redis, tenant, text));
}
