import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { explainJob } from '#shared/queue/fair/explain.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { FairPool } from './fair-pool.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const stepsPerPeriod = 5;
const stepMs = 4_000;
const periodMs = stepsPerPeriod * stepMs;
const freePerMinute = 9_000;
const freePerStep = (freePerMinute * stepMs) / 60_000;
const growth = { freePerMinute, most: 0.5, periodMs };
const call = { tenant: 'a', input: 50, output: 1, max: 1 };
/** A call, and what may be sent a second early. */
const slack = (perStep: number) => call.input + perStep / (stepMs / 1_000);
const tickMs = 250;
const callsPerTick = 4;

const open = (over: Parameters<typeof FairPool.open>[1]) =>
  FairPool.open(redis, { guardMs: 0, credentials: [{ id: 'k', scope: 'k' }], ...over });

/** Sends as much as is admitted, step by step; the input of each step. */
async function send(pool: FairPool, steps: number): Promise<number[]> {
  const used: number[] = [];
  for (let step = 0; step < steps; step++) {
    let sent = 0;
    for (let passedMs = 0; passedMs < stepMs; passedMs += tickMs) {
      for (let index = 0; index < callsPerTick; index++) await pool.add(`${pool.nowMs}-${index}`, call);
      const { claimed } = await pool.claim(callsPerTick);
      for (const { id } of claimed) await pool.complete(id, { in: call.input, out: 1 });
      sent += claimed.length;
      pool.nowMs += tickMs;
    }
    used.push(sent * call.input);
  }
  return used;
}

test('compared with a period before, input grows by its share at most, from what is free', async () => {
  const pool = await open({ growth });
  const used = await send(pool, 4 * stepsPerPeriod);
  for (const [step, input] of used.entries()) {
    const before = used.slice(Math.max(0, step - 2 * stepsPerPeriod), Math.max(0, step - stepsPerPeriod));
    const allowed = Math.max(freePerStep, 1.5 * Math.max(0, ...before));
    expect(input).toBeLessThanOrEqual(allowed + slack(allowed));
    expect(input).toBeGreaterThan(0.8 * Math.min(allowed, (callsPerTick * call.input * stepMs) / tickMs));
  }
  expect(used.at(-1)).toBeGreaterThan(2 * freePerStep);
  await pool.close();
});

test('what was not used for two periods is to be grown into again', async () => {
  const pool = await open({ growth });
  await send(pool, 3 * stepsPerPeriod);
  pool.nowMs += 2 * periodMs + stepMs;
  const [first] = await send(pool, 1);
  expect(first).toBeLessThanOrEqual(freePerStep + slack(freePerStep));
  await pool.close();
});

test('what was never sent does not count as growth, and what waits for it says so', async () => {
  const pool = await open({ growth: { ...growth, freePerMinute: 60 } });
  for (const id of ['first', 'second']) await pool.add(id, call);
  const claimed = async () => (await pool.claim(1)).claimed.map(({ id }) => id);
  expect(await claimed()).toEqual(['first']);
  await pool.giveBack('first');
  expect(await claimed()).toEqual(['first']);
  expect(await claimed()).toEqual([]);
  expect(await explainJob(pool.backend, 'a', 'second', 1)).toMatchObject({ waitReason: 'ramp' });
  await pool.close();
});

test('where nothing is said of growth, a full window may be used at once', async () => {
  const scopes = { k: [{ dimension: 'requests' as const, amount: 1_000, windowMs: 60_000, burst: 1 }] };
  const pool = await open({ scopes });
  expect(await send(pool, 1)).toEqual([(callsPerTick * call.input * stepMs) / tickMs]);
  await pool.close();
});
