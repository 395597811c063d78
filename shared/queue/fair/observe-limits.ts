import { z } from 'zod';
import type { LimitReading } from '#shared/contracts/limit-reading.ts';
import type { FairQueueBackend } from './fair-backend.ts';
import { dimensions } from './pool-config.ts';

/** An empty list is an empty object in Lua's JSON. */
const list = <Item extends z.ZodType>(item: Item) =>
  z.preprocess((value) => (Array.isArray(value) ? value : []), z.array(item));

const replySchema = z.object({
  /** Limits that are others than they were thought to be; `adopted`: they hold from now on. */
  changes: list(z.object({ ceiling: z.string(), from: z.number(), to: z.number(), adopted: z.boolean() })),
  /** What others were found to have used, and is now counted as used. */
  foreign: list(z.object({ ceiling: z.string(), amount: z.number() })),
});
export type ObservedLimits = z.output<typeof replySchema>;

const unknownReset = -1;
const wallClockReset = -2;

/** Tells a pool what an answer said about the limits of a credential; its request was sent `ageMs` ago. */
export async function observeLimits(
  backend: FairQueueBackend,
  credentialId: string,
  ageMs: number,
  readings: readonly LimitReading[],
): Promise<ObservedLimits> {
  const rows = readings.map(
    ({ dimension, windowMs, limit, used, resetMs, resetGrainMs, grain, wallClock }) => [
      dimensions.indexOf(dimension) + 1,
      windowMs,
      limit,
      used,
      wallClock ? wallClockReset : (resetMs ?? unknownReset),
      resetGrainMs,
      grain,
    ],
  );
  const args = { credentialId, ageMs, readings: JSON.stringify(rows) };
  return replySchema.parse(JSON.parse(await backend.runScript('observe', { args })));
}
