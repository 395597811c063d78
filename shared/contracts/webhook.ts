import type { TerminalState } from './job.ts';

/** Events an endpoint may subscribe to. */
export const webhookEvents = [
  'job.succeeded',
  'job.failed',
  'job.cancelled',
  'job.expired',
  'batch.completed',
  'batch.failed',
  'batch.expired',
  'batch.cancelled',
] as const;
export type WebhookEvent = (typeof webhookEvents)[number];

/** The event of a job's end. An unknown outcome is told as a failure; `data.status` says which. */
export const jobEvent: Record<TerminalState, WebhookEvent> = {
  succeeded: 'job.succeeded',
  failed: 'job.failed',
  cancelled: 'job.cancelled',
  expired: 'job.expired',
  outcome_unknown: 'job.failed',
};

/**
 * The message about the end of something with a random id: always the same, however often its end is written. A
 * receiver that meets it twice knows it by this id (`webhook-id`).
 */
export function messageIdOf(subjectId: string): string {
  return `msg_${subjectId.slice(subjectId.indexOf('_') + 1)}`;
}

/** How long the record of an ended job stays for its message to be made from it, should no webhook service run. */
export const outboxHoldMs = 7 * 86_400_000;
