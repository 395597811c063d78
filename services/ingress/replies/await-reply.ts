import type { FastifyReply } from 'fastify';
import type { Outcome } from '#shared/contracts/outcome.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Awaited } from '#shared/results/await-outcome.ts';
import { usdText } from '#shared/tokens/price.ts';
import { cacheHeaders } from '../cache/cache-headers.ts';
import type { IngressParts } from '../ingress-parts.ts';
import { type ExtraFields, withExtraFields } from './extra-fields.ts';

export type AwaitEnd = { kind: 'outcome'; outcome: Outcome } | { kind: 'timeout' } | { kind: 'disconnected' };

export type AwaitReplyParts = Pick<IngressParts, 'settings' | 'waiter' | 'feed' | 'metrics' | 'clock'>;

/** Asked before a wait is registered, so that open calls have a bound. @throws SluiceError too_many_waiting */
export function refuseTooManyWaiting({ settings, waiter, feed }: AwaitReplyParts): void {
  const limit = settings.http.open_calls_max;
  if (waiter.size + feed.size >= limit)
    throw new SluiceError('too_many_waiting', { fields: { limit }, retryAfterMs: 1_000 });
}

/** Holds a request open until its job ends, `waitMs` have passed, or the caller hangs up. */
export async function awaitReply(
  { metrics, clock }: AwaitReplyParts,
  reply: FastifyReply,
  awaited: Awaited,
  waitMs: number,
): Promise<AwaitEnd> {
  const over = Promise.withResolvers<AwaitEnd>();
  const onClose = () => over.resolve({ kind: 'disconnected' });
  reply.raw.once('close', onClose);
  if (reply.raw.destroyed) onClose();
  const timer = clock.after(waitMs, () => over.resolve({ kind: 'timeout' }));
  metrics.openCalls.inc();
  try {
    const outcome = awaited.outcome.then((outcome) => ({ kind: 'outcome', outcome }) as const);
    return await Promise.race([outcome, over.promise]);
  } finally {
    metrics.openCalls.dec();
    timer.cancel();
    reply.raw.off('close', onClose);
    awaited.cancel();
  }
}

/** Sends an outcome as it was stored: the status and bytes of the provider, or of our own error. */
export function sendOutcome(reply: FastifyReply, outcome: Outcome, extra?: ExtraFields): FastifyReply {
  const { head } = outcome;
  const body = extra ? withExtraFields(outcome, extra) : outcome.body;
  reply.code(head.status).header('content-type', head.contentType).headers(head.headers);
  reply.headers({
    'x-sluice-job-id': head.job,
    'x-sluice-provider': head.provider,
    'x-sluice-model': head.model,
    'x-sluice-attempts': head.attempts,
    'x-sluice-queue-ms': head.queueMs,
    'x-sluice-provider-ms': head.providerMs,
    ...cacheHeaders(head.cached),
  });
  if (head.costNanoUsd !== undefined) reply.header('x-sluice-cost-usd', usdText(head.costNanoUsd));
  // The outcome is final: sending the same call again by itself would pay for it again.
  if (head.status >= 400) reply.header('x-should-retry', String(isWorthRetrying(head.error)));
  return reply.send(body);
}

/** Sluice has used up its own attempts by then; only errors that it calls passing are worth another call. */
function isWorthRetrying(error: string | null): boolean {
  return error !== null && new SluiceError(error as never).entry.retryable;
}
