import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CallEnding, newsSchema, reportHealth } from '#shared/queue/fair/credential-health.ts';
import { explainJob } from '#shared/queue/fair/explain.ts';
import { coolDown, publishPool } from '#shared/queue/fair/publish-pool.ts';
import { fairKeys } from '#shared/redis/keys.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { until } from '../../harness/until.ts';
import { FairPool } from './fair-pool.ts';

let server: RedisProcess;
let redis: Redis;
beforeAll(async () => {
  server = await RedisProcess.start();
  redis = server.connect();
});
afterAll(() => server.stop());

const breaker = {
  failuresMax: 3,
  openMs: 1_000,
  openMaxMs: 3_000,
  probeMs: 10_000,
  billingMs: 60_000,
  rampShare: 0.1,
  rampMs: 20_000,
};
type Settings = NonNullable<Parameters<typeof FairPool.open>[1]>;
const one = [{ id: 'k', scope: 'k', revision: '1' }];
const two = [...one, { id: 'l', scope: 'l', revision: '1' }];
const rpm = (amount: number) => [{ dimension: 'requests' as const, amount, windowMs: 60_000 }];
const settings = (credentials: Settings['credentials'], over: Partial<Settings> = {}): Settings => ({
  guardMs: 0,
  breaker,
  credentials,
  ...over,
});

async function withBacklog(given: Settings): Promise<FairPool> {
  const pool = await FairPool.open(redis, given);
  for (let index = 0; index < 80; index++) await pool.add(`job${index}`, { tenant: 'a' });
  return pool;
}

const claim = async (pool: FairPool, count = 1) => (await pool.claim(count)).claimed;

function report(pool: FairPool, jobId: string, ending: CallEnding, credential = 'k', atLeastMs = 0) {
  return reportHealth(pool.backend, { credential, jobId, ending, atLeastMs });
}

/** Claims and ends calls one after the other. */
async function end(pool: FairPool, ...endings: CallEnding[]): Promise<void> {
  for (const ending of endings) {
    const [claimed] = await claim(pool);
    await report(pool, claimed!.id, ending, claimed!.grant.credential);
    await pool.complete(claimed!.id);
  }
}

describe('circuit breaker', () => {
  test('opens after so many failures in a row, and then nothing is handed out', async () => {
    const pool = await withBacklog(settings(one));
    await end(pool, 'failed', 'failed', 'served', 'failed', 'failed');
    expect(await claim(pool)).toHaveLength(1);
    const { changes } = await report(pool, 'job5', 'failed');
    expect(changes).toEqual([{ credential: 'k', state: 'open', forMs: 1_000 }]);
    const { claimed, comeBackMs } = await pool.claim(5);
    expect([claimed, comeBackMs]).toEqual([[], 1_000]);
    expect((await explainJob(pool.backend, 'a', 'job9', 1)).waitReason).toBe('breaker');
    await pool.close();
  });

  test('calls after a failure are watched, those of a sound credential are not', async () => {
    const pool = await withBacklog(settings(one));
    expect((await claim(pool))[0]!.grant.watched).toBe(false);
    await report(pool, 'job0', 'failed');
    const [after] = await claim(pool);
    expect(after!.grant.watched).toBe(true);
    await report(pool, after!.id, 'served');
    expect((await claim(pool))[0]!.grant.watched).toBe(false);
    await pool.close();
  });

  test('half open, one probe is out at a time, whoever asks; each failed one doubles the pause up to its bound', async () => {
    const pool = await withBacklog(settings(one));
    await end(pool, 'failed', 'failed', 'failed');
    for (const pauseMs of [1_000, 2_000, 3_000, 3_000]) {
      pool.nowMs += pauseMs - 1;
      expect(await claim(pool, 5)).toEqual([]);
      pool.nowMs += 1;
      const [probe, ...more] = await claim(pool, 5);
      expect(more).toEqual([]);
      expect(probe!.grant.watched).toBe(true);
      expect(await claim(pool, 5)).toEqual([]);
      await report(pool, probe!.id, 'failed');
      await pool.complete(probe!.id);
    }
    await pool.close();
  });

  test('a provider that asks for a longer pause gets it', async () => {
    const pool = await withBacklog(settings(one));
    await end(pool, 'failed', 'failed');
    await claim(pool);
    const { changes } = await report(pool, 'job2', 'failed', 'k', 7_000);
    expect(changes[0]?.forMs).toBe(7_000);
    await pool.close();
  });

  test('a probe that succeeds closes it; a late answer of a call from before does not', async () => {
    const pool = await withBacklog(settings(one));
    const [early] = await claim(pool);
    await end(pool, 'failed', 'failed', 'failed');
    expect((await report(pool, early!.id, 'served')).changes).toEqual([]);
    expect(await claim(pool)).toEqual([]);
    pool.nowMs += 1_000;
    const [probe] = await claim(pool, 5);
    expect((await report(pool, early!.id, 'failed')).changes).toEqual([]);
    const { changes } = await report(pool, probe!.id, 'served');
    expect(changes).toEqual([{ credential: 'k', state: 'closed', forMs: 0 }]);
    expect(await claim(pool, 5)).toHaveLength(5);
    await pool.close();
  });

  test.each(['given back unsent', 'ended without telling anything'])(
    'a probe that was %s leaves its place to the next at once',
    async (how) => {
      const pool = await withBacklog(settings(one));
      await end(pool, 'failed', 'failed', 'failed');
      pool.nowMs += 1_000;
      const [probe] = await claim(pool, 5);
      if (how === 'given back unsent') await pool.giveBack(probe!.id);
      else await report(pool, probe!.id, 'nothing');
      expect(await claim(pool, 5)).toHaveLength(1);
      await pool.close();
    },
  );

  test('a probe that nobody reports is followed by another after its time', async () => {
    const pool = await withBacklog(settings(one));
    await end(pool, 'failed', 'failed', 'failed');
    pool.nowMs += 1_000;
    expect(await claim(pool, 5)).toHaveLength(1);
    pool.nowMs += 9_999;
    expect(await claim(pool, 5)).toEqual([]);
    pool.nowMs += 1;
    expect(await claim(pool, 5)).toHaveLength(1);
    await pool.close();
  });

  test('one credential of two fails: the other serves on, and the pool stays closed', async () => {
    const pool = await withBacklog(settings(two));
    const calls = await claim(pool, 8);
    const failing = calls.filter(({ grant }) => grant.credential === 'k');
    for (const { id } of failing.slice(0, 3)) await report(pool, id, 'failed', 'k');
    const next = await claim(pool, 4);
    expect(next.map(({ grant }) => grant.credential)).toEqual(['l', 'l', 'l', 'l']);
    await pool.close();
  });

  test('when all of them fail the whole pool is open, and is probed by one call, not by one for each', async () => {
    const pool = await withBacklog(settings(two));
    await end(pool, 'failed', 'failed', 'failed', 'failed', 'failed', 'failed');
    expect(await claim(pool)).toEqual([]);
    pool.nowMs += 1_000;
    const probes = await claim(pool, 5);
    expect(probes).toHaveLength(1);
    const { credential } = probes[0]!.grant;
    const { changes } = await report(pool, probes[0]!.id, 'served', credential);
    expect(changes.map((change) => [change.credential, change.state])).toEqual([
      [credential, 'closed'],
      ['*', 'closed'],
    ]);
    await pool.close();
  });
});

describe('money', () => {
  test('parks a credential until a probe succeeds; the other one serves meanwhile', async () => {
    const pool = await withBacklog(settings(two));
    const [first] = await claim(pool);
    const { credential } = first!.grant;
    const { changes, others } = await report(pool, first!.id, 'billing', credential);
    expect([changes, others]).toEqual([[{ credential, state: 'billing', forMs: 60_000 }], 1]);
    const other = credential === 'k' ? 'l' : 'k';
    expect((await claim(pool, 3)).map(({ grant }) => grant.credential)).toEqual([other, other, other]);
    expect((await report(pool, 'job9', 'billing', other)).others).toBe(0);
    expect(await claim(pool, 3)).toEqual([]);
    pool.nowMs += 60_000;
    const probes = await claim(pool, 5);
    expect(new Set(probes.map(({ grant }) => grant.credential))).toEqual(new Set(['k', 'l']));
    expect(probes).toHaveLength(2);
    await report(pool, probes[0]!.id, 'served', probes[0]!.grant.credential);
    expect((await claim(pool, 1))[0]!.grant.credential).toBe(probes[0]!.grant.credential);
    await pool.close();
  });

  test('a probe refused over money again parks it again', async () => {
    const pool = await withBacklog(settings(one));
    await end(pool, 'billing');
    pool.nowMs += 60_000;
    await end(pool, 'billing');
    pool.nowMs += 59_999;
    expect(await claim(pool)).toEqual([]);
    pool.nowMs += 1;
    expect(await claim(pool)).toHaveLength(1);
    await pool.close();
  });

  test('a credential that is published with another key is no longer parked; with the same key it is', async () => {
    const pool = await withBacklog(settings(one));
    await end(pool, 'billing');
    await publishPool(pool.backend, settings(one));
    expect(await claim(pool)).toEqual([]);
    await publishPool(pool.backend, settings([{ ...one[0]!, revision: '2' }]));
    expect(await claim(pool)).toHaveLength(1);
    await pool.close();
  });
});

/** Calls of `credential` that are handed out in the next second, asked for often enough. */
async function startedInASecond(pool: FairPool, credential: string): Promise<number> {
  let started = 0;
  for (let step = 0; step < 100; step++, pool.nowMs += 10) {
    for (const { id, grant } of await claim(pool, 4)) {
      if (grant.credential === credential) started++;
      await pool.complete(id);
    }
  }
  return started;
}

describe('after an interruption', () => {
  const limited = settings(one, { scopes: { k: rpm(600) } });

  test('a credential is brought back step by step, from a share of its ceilings to all of them', async () => {
    const pool = await withBacklog(limited);
    expect(await startedInASecond(pool, 'k')).toBeGreaterThanOrEqual(10);
    pool.nowMs += 200;
    await end(pool, 'failed');
    pool.nowMs += 200;
    await end(pool, 'failed');
    pool.nowMs += 200;
    await end(pool, 'failed');
    pool.nowMs += 1_000;
    const [probe] = await claim(pool);
    await report(pool, probe!.id, 'served');
    expect(await startedInASecond(pool, 'k')).toBeLessThanOrEqual(2);
    pool.nowMs += 9_000;
    const half = await startedInASecond(pool, 'k');
    expect(half).toBeGreaterThanOrEqual(4);
    expect(half).toBeLessThanOrEqual(7);
    pool.nowMs += 11_000;
    expect(await startedInASecond(pool, 'k')).toBeGreaterThanOrEqual(9);
    await pool.close();
  });

  test('places under a concurrency ceiling come back step by step too', async () => {
    const scopes = { k: [{ dimension: 'concurrency' as const, amount: 20 }] };
    const pool = await withBacklog(settings(one, { scopes }));
    await end(pool, 'failed', 'failed', 'failed');
    pool.nowMs += 1_000;
    await end(pool, 'served');
    expect(await claim(pool, 30)).toHaveLength(2);
    pool.nowMs += 10_000;
    expect(await claim(pool, 30)).toHaveLength(9);
    await pool.close();
  });

  test('a provider that says we grew too fast is given a third less, and half as much again over the time it grants', async () => {
    const pool = await withBacklog(
      settings(one, { scopes: { k: rpm(600) }, breaker: { ...breaker, growth: 0.5, growthMs: 10_000 } }),
    );
    const [first] = await claim(pool);
    await report(pool, first!.id, 'ramp');
    const started = await startedInASecond(pool, 'k');
    expect(started).toBeGreaterThanOrEqual(6);
    expect(started).toBeLessThanOrEqual(8);
    pool.nowMs += 10_000;
    expect(await startedInASecond(pool, 'k')).toBeGreaterThanOrEqual(9);
    await pool.close();
  });
});

describe('a credential that is new', () => {
  const both = settings(two, { scopes: { k: rpm(600), l: rpm(600) } });

  test('in a pool that already ran is ramped up, not given its part of the backlog at once', async () => {
    const pool = await withBacklog(settings(one, { scopes: { k: rpm(600) } }));
    await claim(pool);
    await publishPool(pool.backend, both);
    expect(await startedInASecond(pool, 'l')).toBeLessThanOrEqual(2);
    pool.nowMs += 20_000;
    expect(await startedInASecond(pool, 'l')).toBeGreaterThanOrEqual(9);
    await pool.close();
  });

  test('at the very first start of a pool is used as it allows', async () => {
    const pool = await withBacklog(both);
    expect(await startedInASecond(pool, 'l')).toBeGreaterThanOrEqual(9);
    await pool.close();
  });
});

test('every worker hears at once of a credential that is held back, with the time of it on Redis’ clock', async () => {
  const pool = await withBacklog(settings(one));
  const listener = server.connect();
  const heard: unknown[] = [];
  listener.on('message', (_channel, text) => heard.push(newsSchema.parse(JSON.parse(text))));
  await listener.subscribe(fairKeys(pool.backend.keys['']!).news);
  await coolDown(pool.backend, 'k', 5_000);
  await coolDown(pool.backend, 'k', 3_000);
  await report(pool, 'job0', 'billing');
  await until('both', () => heard.length === 2);
  expect(heard).toEqual([
    { credential: 'k', state: 'cooled', forMs: 5_000, atMs: pool.nowMs },
    { credential: 'k', state: 'billing', forMs: 60_000, atMs: pool.nowMs },
  ]);
  listener.disconnect();
  await pool.close();
});
