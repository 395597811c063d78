import { z } from 'zod';
import type { FairQueueBackend } from './fair-backend.ts';

/** How a call ended, as far as it tells whether its credential and its provider work. */
export type CallEnding = 'served' | 'failed' | 'billing' | 'ramp' | 'nothing';

const changeSchema = z.object({
  /** `*`: the pool as a whole. */
  credential: z.string(),
  state: z.enum(['closed', 'open', 'billing', 'ramp', 'cooled']),
  forMs: z.number(),
});

const replySchema = z.object({
  /** What is different by this report. */
  changes: z.preprocess((value) => (Array.isArray(value) ? value : []), z.array(changeSchema)),
  /** Other credentials of the pool that money does not stop. */
  others: z.number(),
});
export type HealthReport = z.output<typeof replySchema>;

/** News of a pool as every worker hears them; `atMs` is Redis' time. */
export const newsSchema = changeSchema.extend({ atMs: z.number() });
export type CredentialNews = z.output<typeof newsSchema>;

export interface EndedCall {
  credential: string;
  jobId: string;
  ending: CallEnding;
  /** How long the provider asked to be left alone. */
  atLeastMs: number;
}

/** Tells a pool how a call ended: what failures, probes and money mean for its credentials is decided there. */
export async function reportHealth(
  backend: FairQueueBackend,
  { credential, jobId, ending, atLeastMs }: EndedCall,
): Promise<HealthReport> {
  const args = { credentialId: credential, jobId, ending, atLeastMs };
  return replySchema.parse(JSON.parse(await backend.runScript('report', { args })));
}
