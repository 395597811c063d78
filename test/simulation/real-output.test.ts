import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { type Random, seededRandom } from '#shared/kernel/random.ts';
import { compilePool } from '#shared/queue/fair/pool-config.ts';
import { exceedsEveryCeiling } from '#shared/queue/fair/publish-pool.ts';
import { safeOutput, untaught } from '#shared/tokens/learned.ts';
import { RedisProcess } from '../harness/redis-process.ts';
import { FairPool } from '../queue/fair/fair-pool.ts';

/** Pools whose provider counts output as it is really produced, which nobody knows when a call starts. */
let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const windowMs = 10_000;
const perWindow = 10_000;
const callMs = 1_000;
const windows = 6;
const limited = (amount: number) => ({
  accounting: 'input_plus_output_actual' as const,
  guardMs: 0,
  credentials: [{ id: 'k', scope: 'org' }],
  scopes: { org: [{ dimension: 'output_tokens' as const, amount, windowMs }] },
});

/** Output with a long tail, around `mean`. */
function drawn(random: Random, mean: number): number {
  const normal = Array.from({ length: 12 }, () => random.next()).reduce((sum, each) => sum + each, -6);
  return Math.round(mean * Math.exp(0.4 * normal - 0.08));
}

/** Keeps a pool busy for a while; output of the fullest and of the average window, as a share of the ceiling. */
async function drain(held: number, seed: number): Promise<{ fullest: number; used: number }> {
  const pool = await FairPool.open(redis, limited(perWindow));
  const random = seededRandom(seed);
  const startMs = pool.nowMs;
  const running: { id: string; endMs: number; output: number }[] = [];
  const produced: { atMs: number; output: number }[] = [];
  for (let index = 0; index < windows * 120; index++)
    await pool.add(`job${index}`, { tenant: 'a', input: 1, output: 100, max: held });
  while (pool.nowMs < startMs + windows * windowMs) {
    const { claimed, comeBackMs } = await pool.claim(64);
    for (const { id } of claimed)
      running.push({ id, endMs: pool.nowMs + callMs, output: drawn(random, 100) });
    const endMs = running[0]?.endMs ?? Number.POSITIVE_INFINITY;
    pool.nowMs = Math.min(endMs, pool.nowMs + Math.max(1, comeBackMs ?? Number.POSITIVE_INFINITY));
    while (running[0] && running[0].endMs <= pool.nowMs) {
      const { id, output } = running.shift()!;
      await pool.complete(id, { in: 1, out: output });
      produced.push({ atMs: pool.nowMs, output });
    }
  }
  await pool.close();
  const within = (fromMs: number, toMs: number) =>
    produced.reduce((sum, { atMs, output }) => sum + (atMs > fromMs && atMs <= toMs ? output : 0), 0);
  const fullest = Math.max(...produced.map(({ atMs }) => within(atMs - windowMs, atMs)));
  const used = within(startMs + windowMs, startMs + windows * windowMs) / (windows - 1);
  return { fullest: fullest / perWindow, used: used / perWindow };
}

test('holding what calls seldom exceed keeps every window under its ceiling, and what is not used is used by others', async () => {
  const learned = { ...untaught, output: 100, outputDeviation: 32 };
  const safe = await drain(Math.ceil(safeOutput(learned)), 8);
  expect(safe.fullest).toBeLessThanOrEqual(1);
  expect(safe.used).toBeGreaterThan(0.8);
  const mean = await drain(learned.output, 8);
  expect(mean.fullest, 'what only the mean is held for').toBeGreaterThan(1);
});

test('an expectation beyond the whole ceiling refuses nothing: the call takes all of it', async () => {
  const settings = limited(100);
  const call = { tenant: 'a', input: 10, output: 300, max: 500 };
  expect(exceedsEveryCeiling(compilePool(settings), call)).toBe(false);
  const pool = await FairPool.open(redis, settings);
  await pool.add('one', call);
  await pool.add('two', call);
  const first = (await pool.claim(2)).claimed;
  expect(first.map(({ id, grant }) => [id, grant.oversize, grant.credential])).toEqual([['one', false, 'k']]);
  await pool.complete('one', { in: 10, out: 40 });
  expect((await pool.claim(1)).claimed, 'it still counts what it produced').toEqual([]);
  pool.nowMs += windowMs + 200;
  expect((await pool.claim(1)).claimed.map(({ id }) => id)).toEqual(['two']);
  await pool.close();
});
