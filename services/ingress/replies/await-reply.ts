import type { FastifyReply } from 'fastify';
import type { Outcome } from '#shared/contracts/outcome.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Awaited } from '#shared/results/await-outcome.ts';

export type AwaitEnd = { kind: 'outcome'; outcome: Outcome } | { kind: 'timeout' } | { kind: 'disconnected' };

/** Holds a request open until its job ends, `waitMs` have passed, or the caller hangs up. */
export async function awaitReply(
  reply: FastifyReply,
  awaited: Awaited,
  waitMs: number,
  clock: Clock,
): Promise<AwaitEnd> {
  const over = Promise.withResolvers<AwaitEnd>();
  const onClose = () => over.resolve({ kind: 'disconnected' });
  reply.raw.once('close', onClose);
  if (reply.raw.destroyed) onClose();
  const timer = clock.after(waitMs, () => over.resolve({ kind: 'timeout' }));
  try {
    return await Promise.race([
      awaited.outcome.then((outcome) => ({ kind: 'outcome', outcome }) as const),
      over.promise,
    ]);
  } finally {
    timer.cancel();
    reply.raw.off('close', onClose);
    awaited.cancel();
  }
}

/** Sends an outcome as it was stored: the status and bytes of the provider, or of our own error. */
export function sendOutcome(reply: FastifyReply, { head, body }: Outcome): FastifyReply {
  reply.code(head.status).header('content-type', head.contentType).headers(head.headers);
  reply.headers({
    'x-sluice-job-id': head.job,
    'x-sluice-provider': head.provider,
    'x-sluice-model': head.model,
    'x-sluice-attempts': head.attempts,
    'x-sluice-queue-ms': head.queueMs,
    'x-sluice-provider-ms': head.providerMs,
  });
  // The outcome is final: sending the same call again by itself would pay for it again.
  if (head.status >= 400) reply.header('x-should-retry', String(isWorthRetrying(head.error)));
  return reply.send(body);
}

/** Sluice has used up its own attempts by then; only errors that it calls passing are worth another call. */
function isWorthRetrying(error: string | null): boolean {
  return error !== null && new SluiceError(error as never).entry.retryable;
}
