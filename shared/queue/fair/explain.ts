import { z } from 'zod';
import type { FairQueueBackend } from './fair-backend.ts';

const number = z.number();

const laneSchema = z.object({
  /** Jobs that wait in the lane, and jobs of it in hand. */
  depth: number,
  running: number,
  weight: number,
  /** Weight of all lanes that compete. */
  totalWeight: number,
  /** Lanes that are served before it; absent while it does not take part. */
  turn: number.optional(),
  /** What its head waits for; absent when nothing but a free worker is missing. */
  waitReason: z.string().optional(),
  /** When the call whose turn it is fits its ceilings, on Redis' clock. */
  fitsAtMs: number.optional(),
  /** Jobs of the lane before the asked-for one. */
  position: number.optional(),
});

const poolSchema = z.object({
  nowMs: number,
  /** Lanes that compete, and lanes that are not eligible. */
  lanes: number,
  parked: number,
  waiting: number,
  inHand: number,
  /** Between the weighted service of the lane served most and the one served least; see fair-backend.ts for its bound. */
  gap: number,
  paused: z.boolean(),
  /** Depth of the lanes that are next. */
  depths: z.preprocess((value) => (Array.isArray(value) ? {} : value), z.record(z.string(), number)),
  lane: laneSchema.optional(),
});

/** Lua has one form for an empty list and an empty table. */
const listOf = <T extends z.ZodType>(row: T) =>
  z.preprocess((value) => (Array.isArray(value) ? value : []), z.array(row));

/** `open`: left alone after failures; `billing`: stopped by money; `ramping`: on its way back; `cooldown`: over its quota. */
const credentialState = z.enum(['ready', 'cooldown', 'open', 'billing', 'ramping']);

const wholePoolSchema = poolSchema.extend({
  /** Jobs that wait for a time of their own. */
  delayed: number,
  /** What the head waits for; absent when nothing waits, or only for a free worker. */
  waitReason: z.string().optional(),
  /** Whether the pool as a whole is left alone because calls fail, and for how long. */
  state: credentialState,
  heldMs: number,
  /** Amounts of the present window by limit scope; `said` is the limit that the provider named. */
  ceilings: listOf(
    z.object({ scope: z.string(), name: z.string(), used: number, amount: number, said: number.optional() }),
  ),
  credentials: listOf(
    z.object({
      id: z.string(),
      scope: z.string(),
      state: credentialState,
      /** How long it is held back. */
      heldMs: number,
      /** How often it was refused for its quota. */
      refusals: number,
    }),
  ),
});

export type PoolExplanation = Omit<z.output<typeof wholePoolSchema>, 'lane'>;
/** How long no credential of a pool may be called, and whether for failures or over money. */
export function heldOf({ state, heldMs, credentials }: PoolExplanation): { heldMs: number; isOpen: boolean } {
  const isShut = (each: string) => each === 'open' || each === 'billing';
  const soonest = credentials.length > 0 ? Math.min(...credentials.map((each) => each.heldMs)) : 0;
  const allShut = credentials.length > 0 && credentials.every((each) => isShut(each.state));
  return { heldMs: Math.max(heldMs, soonest), isOpen: isShut(state) || allShut };
}

export type LaneExplanation = z.output<typeof laneSchema>;

/** What waits in a pool, and what for. */
export async function explainPool(backend: FairQueueBackend, lanesMax = 20): Promise<PoolExplanation> {
  const reply = await backend.runScript('explain', { args: { lanesMax, tenant: '', jobId: '' } });
  return wholePoolSchema.parse(JSON.parse(reply));
}

/** Lanes whose weights are read to know a lane's share; more are taken to be like these. */
const weighedLanesMax = 200;

export interface Waiting extends LaneExplanation {
  /** When this was said, on Redis' clock. */
  nowMs: number;
  /** When the job starts if the pool goes on as it did, milliseconds from now; undefined when nothing tells. */
  estimatedStartMs: number | undefined;
}

/**
 * Why a job waits, where it stands and when it should start. `startsPerSecond` is the pool's recent pace: the lane gets
 * its part of it by weight. Lanes before it are taken to be served once before its own head is, and calls to be alike.
 */
export async function explainJob(
  backend: FairQueueBackend,
  tenant: string,
  jobId: string,
  startsPerSecond: number,
): Promise<Waiting> {
  const reply = await backend.runScript('explain', { args: { lanesMax: weighedLanesMax, tenant, jobId } });
  const { lane, nowMs } = poolSchema.parse(JSON.parse(reply));
  const fitsInMs = Math.max(0, (lane?.fitsAtMs ?? nowMs) - nowMs);
  const known = lane?.position !== undefined && lane.turn !== undefined && startsPerSecond > 0;
  const turnsPerJob = lane ? Math.max(1, lane.totalWeight / lane.weight) : 1;
  const turns = (lane?.position ?? 0) * turnsPerJob + (lane?.turn ?? 0);
  return {
    ...lane!,
    nowMs,
    estimatedStartMs: known ? Math.round(fitsInMs + (turns * 1_000) / startsPerSecond) : undefined,
  };
}
