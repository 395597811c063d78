import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { type Clock, systemClock } from '#shared/kernel/clock.ts';
import { ClaimLoop } from '#shared/queue/claim-loop.ts';
import { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { Verdict } from '#shared/queue/ticket-worker.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { until } from '../../harness/until.ts';

let redis: Redis;
beforeAll(async () => {
  const server = await RedisProcess.start();
  redis = server.connect();
  return () => server.stop();
});

const newsWaitSeconds = 4;
const places = 8;
let pools = 0;

/** A loop with a pool of its own, whose tickets stay in hand until they are let go. */
async function startLoop(concurrency: number, clock = systemClock) {
  const id = { provider: 'p', pool: `pool${pools++}` };
  const queue = new PoolQueue(id, redis, systemClock);
  await queue.start();
  const letGo: (() => void)[] = [];
  const loop = new ClaimLoop({
    id,
    workerId: 'w1',
    concurrency,
    connection: redis,
    settings: settingsSchema.shape.workers.parse({}),
    clock,
    telemetry: undefined,
    handle: () => new Promise<Verdict>((resolve) => letGo.push(() => resolve({ kind: 'done' }))),
    onError: (error) => expect(error).toBeUndefined(),
  });
  const deadlineMs = systemClock.nowMs() + 600_000;
  const tokens = { input: 1, output: 1, max: 1 };
  const enqueue = (job: string, delayMs = 0) =>
    queue.enqueue({ tenant: 't', job }, { priority: 5, tokens, deadlineMs, delayMs });
  return {
    loop,
    queue,
    letGo,
    enqueue,
    marker: `sl:{p}:${id.pool}:marker`,
    /** Lets all tickets go, those that come meanwhile too, and stops. */
    end: async (count: number): Promise<void> => {
      for (let job = 0; job < count; job++) {
        await until('it is in hand', () => letGo.length > job);
        letGo[job]!();
      }
      const isEmpty = async () => Object.values(await queue.counts()).every((waiting) => waiting === 0);
      await until('nothing is left', isEmpty);
      await loop.stop();
      await queue.stop();
    },
  };
}

test('a loop that has no place left does not keep the news of a ticket from the others', async () => {
  const { loop, letGo, enqueue, marker, end } = await startLoop(1);
  await loop.start();
  // It waits for the time of this one and for news at once.
  await enqueue('later', 200);
  await until('its only place is taken', () => letGo.length === 1);
  const other = redis.duplicate();
  const news = other.bzpopmin(marker, newsWaitSeconds);
  await enqueue('next');
  expect(await news).not.toBeNull();
  other.disconnect();
  await end(2);
});

test.each(['once that is done', 'after a time, should it take long'])(
  'a loop that has just started takes one ticket at first, and fills its places %s',
  async (when) => {
    const { loop, letGo, enqueue, end } = await startLoop(places);
    for (let job = 0; job <= places; job++) await enqueue(`job${job}`);
    await loop.start();
    await until('it took something', () => letGo.length > 0);
    expect(letGo).toHaveLength(1);
    if (when === 'once that is done') letGo[0]!();
    const taken = when === 'once that is done' ? places + 1 : places;
    await until('all places are taken', () => letGo.length === taken);
    await end(places + 1);
  },
);

test('a loop that is woken before its time keeps its place among those that come on time', async () => {
  const asksAtMs: number[] = [];
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) => {
      asksAtMs.push(systemClock.monotonicMs() + ms);
      return systemClock.sleep(ms, signal);
    },
  };
  const { loop, queue, letGo, enqueue } = await startLoop(places, clock);
  const oneAMinute = { dimension: 'requests', amount: 1, windowMs: 60_000, burst: 1 } as const;
  await queue.publish({ credentials: [{ id: 'k', scope: 'k', weight: 1 }], scopes: { k: [oneAMinute] } }, {});
  await loop.start();
  await enqueue('first');
  await until('it is in hand', () => letGo.length === 1);
  letGo[0]!();
  const news = 20;
  for (let told = 0; told < news; told++) {
    await enqueue(`job${told}`);
    await until('it has asked once more', () => asksAtMs.length > told);
  }
  // The clocks of Redis and of the loop do not tick at once.
  const tickMs = 2;
  expect(Math.max(...asksAtMs)).toBeLessThanOrEqual(asksAtMs[0]! + tickMs);
  await loop.stop();
  await queue.stop();
});
