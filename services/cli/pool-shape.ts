import { z } from 'zod';
import type { SluiceClient } from './sluice-client.ts';

/** What the operations port tells of a pool; the rest passes through with --json. */
const poolShape = z.looseObject({
  provider: z.string(),
  pool: z.string(),
  waiting: z.number(),
  delayed: z.number(),
  inHand: z.number(),
  waitReason: z.string().optional(),
  state: z.string(),
  heldMs: z.number(),
  ceilings: z.array(
    z.object({
      scope: z.string(),
      name: z.string(),
      used: z.number(),
      amount: z.number(),
      said: z.number().optional(),
    }),
  ),
  credentials: z.array(
    z.object({ id: z.string(), state: z.string(), heldMs: z.number(), refusals: z.number() }),
  ),
});
export type Pool = z.infer<typeof poolShape>;
const surveyShape = z.object({ pools: z.array(poolShape) });

export async function readPools(operations: SluiceClient, answerMs?: number): Promise<Pool[]> {
  const asked = answerMs === undefined ? {} : { answerMs };
  return (await operations.askJson('/pools', surveyShape, asked)).pools;
}

/** How far each ceiling is used, in the limit scope where it is used most: `rpm 99 %, concurrency 12 %`. */
export function ceilingsText({ ceilings }: Pool): string {
  const shares = new Map<string, number>();
  for (const { name, used, amount } of ceilings)
    shares.set(name, Math.max(shares.get(name) ?? 0, used / amount));
  return [...shares].map(([name, share]) => `${name} ${Math.round(share * 100)} %`).join(', ');
}
