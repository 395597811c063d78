import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { ClaimLoop } from '#shared/queue/claim-loop.ts';
import { PoolQueue } from '#shared/queue/pool-queue.ts';
import type { Verdict } from '#shared/queue/ticket-worker.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { until } from '../../harness/until.ts';

let server: RedisProcess;
let redis: Redis;
beforeAll(async () => {
  server = await RedisProcess.start();
  redis = server.connect();
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const newsWaitSeconds = 4;
const places = 8;
let pools = 0;

/** A loop with a pool of its own, whose tickets stay in hand until they are let go. */
async function startLoop(concurrency: number) {
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
    clock: systemClock,
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
