import type { JobJson } from 'bullmq';
import { z } from 'zod';

const whole = z.number().int().nonnegative();

/** The parts of a ticket that decide where it stands; anything else in a job's data is not looked at. */
const placeSchema = z.object({
  tenant: z.string().min(1),
  class: whole.max(9).optional(),
  input: whole.optional(),
  output: whole.optional(),
  max: whole.optional(),
  deadline: whole.optional(),
  arrival: whole.optional(),
});

/** Lane and cost of a ticket, as add.lua takes them. */
export interface TicketPlace {
  tenant: string;
  class: number;
  input: number;
  output: number;
  max: number;
  deadlineMs: number | '';
  arrivalMs: number | '';
}

/** The lane of every job that is no ticket of ours. */
export const unnamedLane = '*';

function parse(data: string): z.infer<typeof placeSchema> | undefined {
  if (!data.startsWith('{')) return undefined;
  try {
    return placeSchema.safeParse(JSON.parse(data)).data;
  } catch {
    return undefined;
  }
}

/**
 * Where a job belongs. Class 0 is for jobs without one and goes first, as in BullMQ; a BullMQ priority goes before the
 * ticket's class. A job without an estimate costs one token, so lanes of such jobs take turns by count.
 */
export function placeOf(data: string): TicketPlace {
  const ticket = parse(data);
  const output = ticket?.output ?? 0;
  return {
    tenant: ticket?.tenant ?? unnamedLane,
    class: (ticket?.class ?? -1) + 1,
    input: ticket?.input ?? 1,
    output,
    max: ticket?.max ?? output,
    deadlineMs: ticket?.deadline ?? '',
    arrivalMs: ticket?.arrival ?? '',
  };
}

/** Tokens a call really used, as the return value of a completed job tells them: `{ in, out }`. */
export interface Usage {
  in: number;
  out: number;
}

const usageSchema = z.object({ in: whole, out: whole });

export function usageOf(returnValue: unknown): Usage | undefined {
  return typeof returnValue === 'object' ? usageSchema.safeParse(returnValue).data : undefined;
}

/** Whether a job has nothing of what BullMQ's own adding looks after: parents, deduplication, schedulers. */
export function isPlain(job: JobJson, args: readonly unknown[]): boolean {
  return !args[4] && !args[5] && !args[7] && !args[8] && !job.parent && !job.deduplicationId;
}
