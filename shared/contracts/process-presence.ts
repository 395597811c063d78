import { z } from 'zod';
import type { ProcessPresence } from '#shared/kernel/process-presence.ts';

/** Where a process runs, as it is written down for other processes to find it dead. */
export const processPresenceSchema = z.object({
  host: z.string(),
  pid: z.int().positive(),
  startTicks: z.string(),
}) satisfies z.ZodType<ProcessPresence>;
