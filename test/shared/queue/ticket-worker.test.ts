import { Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { ticketVersion } from '#shared/contracts/ticket.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { ClaimLoop } from '#shared/queue/claim-loop.ts';
import { bullOptions, type PoolId, PoolQueue } from '#shared/queue/pool-queue.ts';
import { StockLoop } from '#shared/queue/stock-loop.ts';
import {
  type HeldTicket,
  retryThrownMs,
  type TicketWorker,
  type Verdict,
} from '#shared/queue/ticket-worker.ts';
import { openRedis, untilReady } from '#shared/redis/connection.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { until } from '../../harness/until.ts';

const redisSettings = settingsSchema.shape.redis.parse({});
/** Shorter than a configuration may say, so that locks end within a test. */
const workers = {
  ...settingsSchema.shape.workers.parse({}),
  lock_ms: 2_000,
  stalled_check_ms: 150,
  drain_ms: 10_000,
};
const done: Verdict = { kind: 'done' };

let server: RedisProcess;
let redis: Redis;
beforeAll(async () => {
  server = await RedisProcess.start();
  redis = openRedis(server.url, redisSettings, 'queue', 'test');
  redis.on('error', () => undefined);
  await untilReady(redis, 10_000);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const tokens = { input: 1, output: 1, max: 1 };
const tomorrowMs = systemClock.nowMs() + 86_400_000;
let pools = 0;
let id: PoolId;
let queue: PoolQueue;
let started: { stop(): Promise<unknown> }[];
let errors: unknown[];
beforeEach(async () => {
  id = { provider: 'p', pool: `pool${pools++}` };
  queue = new PoolQueue(id, redis, systemClock);
  await queue.start();
  started = [queue];
  errors = [];
});
afterEach(async () => {
  for (const each of started.toReversed()) await each.stop();
});

const add = (job: string, options: { priority?: number; delayMs?: number; deadlineMs?: number } = {}) =>
  queue.enqueue(
    { tenant: 't', job },
    { priority: 5, tokens, delayMs: 0, deadlineMs: tomorrowMs, ...options },
  );
const addMany = async (count: number, prefix = 'job') => {
  const jobs = Array.from({ length: count }, (_, index) => `${prefix}${index}`);
  await Promise.all(jobs.map((job) => add(job)));
  return jobs;
};
const isEmpty = async () => Object.values(await queue.counts()).every((count) => count === 0);

/** A handler whose tickets stay in hand until they are let go. */
class Gate {
  readonly handled: string[] = [];
  active = 0;
  mostActive = 0;
  #open = false;
  #waiting: (() => void)[] = [];

  readonly handle = async ({ ticket }: HeldTicket): Promise<Verdict> => {
    this.handled.push(ticket.job);
    this.active++;
    this.mostActive = Math.max(this.mostActive, this.active);
    if (!this.#open) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.active--;
    return done;
  };

  /** Lets one ticket go. */
  one(): void {
    this.#waiting.shift()?.();
  }

  open(): void {
    this.#open = true;
    for (const go of this.#waiting.splice(0)) go();
  }
}

describe.each([
  ['ClaimLoop', ClaimLoop],
  ['StockLoop', StockLoop],
])('%s', (_name, Loop) => {
  async function start(
    handle: (held: HeldTicket) => Promise<Verdict>,
    over: { concurrency?: number; workerId?: string; pool?: PoolId } = {},
  ): Promise<TicketWorker> {
    const loop = new Loop({
      id: over.pool ?? id,
      workerId: over.workerId ?? 'w1',
      concurrency: over.concurrency ?? 8,
      connection: redis,
      settings: workers,
      clock: systemClock,
      telemetry: undefined,
      handle,
      onError: (error) => errors.push(error),
    });
    await loop.start();
    started.push(loop);
    return loop;
  }

  test('every ticket is handled exactly once, and nothing is left of it', async () => {
    const handled: string[] = [];
    const before = await addMany(40, 'before');
    await start(async ({ ticket }) => {
      handled.push(ticket.job);
      return done;
    });
    const after = await addMany(40, 'after');
    await until('the queue is empty', isEmpty);
    expect(handled.toSorted()).toEqual([...before, ...after].toSorted());
    expect(await queue.state('before0')).toBe('unknown');
    expect(errors).toEqual([]);
  });

  test('a ticket that is there already is not added again', async () => {
    const gate = new Gate();
    await start(gate.handle);
    await add('same');
    await until('it is in hand', () => gate.active === 1);
    await add('same');
    gate.open();
    await until('the queue is empty', isEmpty);
    expect(gate.handled).toEqual(['same']);
  });

  test('a ticket to come back later comes back, not before its delay, and under another token', async () => {
    const seen: { atMs: number; token: string }[] = [];
    await start(async ({ token }) => {
      seen.push({ atMs: systemClock.nowMs(), token });
      return seen.length === 1 ? { kind: 'later', delayMs: 300 } : done;
    });
    await add('job');
    await until('the queue is empty', async () => seen.length > 1 && (await isEmpty()));
    expect(seen).toHaveLength(2);
    expect(seen[1]!.atMs - seen[0]!.atMs).toBeGreaterThanOrEqual(300);
    expect(seen[1]!.token).not.toBe(seen[0]!.token);
  });

  test('a ticket of which nothing was sent comes back at once, and its room under the ceilings with it', async () => {
    const scope = [{ dimension: 'requests' as const, amount: 1, windowMs: 3_600_000 }];
    await queue.publish({ credentials: [{ id: 'main', scope: 's', weight: 1 }], scopes: { s: scope } }, {});
    const credentials: (string | undefined)[] = [];
    await start(async ({ grant }) => {
      credentials.push(grant.credential);
      return credentials.length < 3 ? { kind: 'back', unused: 'all' } : done;
    });
    await add('job');
    await until('the queue is empty', async () => credentials.length > 2 && (await isEmpty()));
    expect(credentials).toEqual(['main', 'main', 'main']);
    expect(errors).toEqual([]);
  });

  test('the delay is the one that was asked for, once', async () => {
    const delayMs = 600_000;
    let handledMs = 0;
    await start(async () => {
      handledMs = systemClock.nowMs();
      return { kind: 'later', delayMs };
    });
    await add('job');
    await until('it waits', async () => (await queue.counts()).delayed === 1);
    // BullMQ keeps the due time in the upper bits of the score.
    const dueMs = Number(await redis.zscore(`sl:{${id.provider}}:${id.pool}:delayed`, 'job')) / 0x1000;
    expect(dueMs - handledMs).toBeGreaterThanOrEqual(delayMs - 1);
    expect(dueMs - handledMs).toBeLessThan(delayMs + 60_000);
  });

  test('a handler that throws is reported, and its ticket is sent back', async () => {
    const seen: number[] = [];
    await start(async () => {
      seen.push(systemClock.nowMs());
      if (seen.length === 1) throw new Error('broken handler');
      return done;
    });
    await add('job');
    await until('the queue is empty', async () => seen.length > 1 && (await isEmpty()));
    expect(seen[1]! - seen[0]!).toBeGreaterThanOrEqual(retryThrownMs);
    expect(errors).toEqual([expect.objectContaining({ message: 'broken handler' })]);
  });

  test('all places are used, never more, and a place that is freed is filled', async () => {
    const gate = new Gate();
    const loop = await start(gate.handle, { concurrency: 4 });
    await addMany(20);
    await until('all places are taken', () => gate.active === 4 && loop.active === 4);
    for (let freed = 1; freed <= 10; freed++) {
      gate.one();
      await until('the place is filled', () => gate.handled.length === 4 + freed);
    }
    gate.open();
    await until('the queue is empty', isEmpty);
    expect(gate.mostActive).toBe(4);
    expect(new Set(gate.handled).size).toBe(20);
    expect(gate.handled).toHaveLength(20);
  });

  test('a loop that is resized takes more at once from then on, or fewer', async () => {
    const gate = new Gate();
    const loop = await start(gate.handle, { concurrency: 2 });
    await addMany(20);
    await until('2 run', () => gate.active === 2);
    loop.resize(6);
    gate.one();
    await until('6 run', () => gate.active === 6);
    loop.resize(1);
    for (let ended = 0; ended < 6; ended++) gate.one();
    await until('the next runs alone', () => gate.handled.length === 8 && gate.active === 1);
    gate.open();
    await until('the queue is empty', isEmpty);
    expect(gate.mostActive).toBe(6);
  });

  test('tickets of a worker that vanished come back when its lock has ended', async () => {
    await add('lost');
    const gone = new Worker(id.pool, null, {
      ...bullOptions(id, redis, undefined),
      lockDuration: 500,
      skipStalledCheck: true,
    });
    await gone.waitUntilReady();
    expect((await gone.getNextJob('gone'))?.id).toBe('lost');
    await gone.close(true);
    const handled: string[] = [];
    await start(async ({ ticket }) => {
      handled.push(ticket.job);
      return done;
    });
    await until('the ticket is handled', async () => handled.length > 0 && (await isEmpty()));
    expect(handled).toEqual(['lost']);
  });

  test('a handler that takes longer than the lock keeps its ticket', async () => {
    const gate = new Gate();
    await start(gate.handle);
    await start(gate.handle, { workerId: 'w2' });
    await add('long');
    let renewals = 0;
    let leftMs = 0;
    await until('the lock was renewed five times', async () => {
      const now = await redis.pttl(`sl:{${id.provider}}:${id.pool}:long:lock`);
      if (now > leftMs + 50) renewals++;
      leftMs = now;
      return renewals > 5;
    });
    gate.open();
    await until('the queue is empty', isEmpty);
    expect(gate.handled).toEqual(['long']);
    expect(errors).toEqual([]);
  });

  test('a delayed ticket waits for its time, and holds nobody up', async () => {
    const seen: { job: string; atMs: number }[] = [];
    await start(async ({ ticket }) => {
      seen.push({ job: ticket.job, atMs: systemClock.nowMs() });
      return done;
    });
    const addedMs = systemClock.nowMs();
    await add('slow', { delayMs: 400 });
    expect(await queue.state('slow')).toBe('delayed');
    await add('now');
    await until('the queue is empty', async () => seen.length === 2 && (await isEmpty()));
    expect(seen.map(({ job }) => job)).toEqual(['now', 'slow']);
    expect(seen[1]!.atMs - addedMs).toBeGreaterThanOrEqual(400);
  });

  test('a smaller number is served first, equals in the order they came', async () => {
    const handled: string[] = [];
    for (const [job, priority] of [
      ['c1', 9],
      ['b1', 5],
      ['a1', 0],
      ['c2', 9],
      ['b2', 5],
      ['a2', 0],
      ['d', 4],
    ] as const)
      await add(job, { priority });
    await start(
      async ({ ticket }) => {
        handled.push(ticket.job);
        return done;
      },
      { concurrency: 1 },
    );
    await until('the queue is empty', isEmpty);
    expect(handled).toEqual(['a1', 'a2', 'd', 'b1', 'b2', 'c1', 'c2']);
  });

  test('a ticket of a newer version reaches the handler, which sends it back; one that is none is kept and reported', async () => {
    const producer = new Queue(id.pool, bullOptions(id, redis, undefined));
    started.push({ stop: () => producer.close() });
    const seen: number[] = [];
    await start(async ({ ticket }) => {
      seen.push(ticket.v);
      return { kind: 'later', delayMs: 60_000 };
    });
    await producer.add(
      'call',
      { v: ticketVersion + 1, tenant: 't', job: 'newer', more: [] },
      { jobId: 'newer' },
    );
    await producer.add('call', { nothing: true }, { jobId: 'garbage' });
    await until('both wait', async () => (await queue.counts()).delayed === 2 && errors.length > 0);
    expect(seen).toEqual([ticketVersion + 1]);
  });

  test('a stop waits for what is in hand, takes nothing more, and completes it', async () => {
    const gate = new Gate();
    const loop = await start(gate.handle, { concurrency: 2 });
    await addMany(6);
    await until('both places are taken', () => gate.active === 2);
    let stopped = false;
    const stopping = loop.stop().then(() => {
      stopped = true;
    });
    gate.one();
    await until('the first is let go', () => gate.active === 1);
    expect(stopped).toBe(false);
    gate.open();
    await stopping;
    expect(gate.handled).toHaveLength(2);
    expect(await queue.counts()).toEqual({ waiting: 4, active: 0, delayed: 0 });
  });

  test('two loops share a pool', async () => {
    const gates = [new Gate(), new Gate()];
    for (const [index, gate] of gates.entries())
      await start(gate.handle, { concurrency: 3, workerId: `w${index}` });
    const jobs = await addMany(30);
    await until('both are busy', () => gates.every(({ active }) => active === 3));
    for (const gate of gates) gate.open();
    await until('the queue is empty', isEmpty);
    expect(gates.flatMap(({ handled }) => handled).toSorted()).toEqual(jobs.toSorted());
    expect(errors).toEqual([]);
  });

  test('a paused pool rests until it goes on, while another works', async () => {
    const producer = new Queue(id.pool, bullOptions(id, redis, undefined));
    started.push({ stop: () => producer.close() });
    const other = { provider: 'p', pool: `${id.pool}-other` };
    const otherQueue = new PoolQueue(other, redis, systemClock);
    started.push(otherQueue);
    const handled: string[] = [];
    const handle = async ({ ticket }: HeldTicket) => {
      handled.push(ticket.job);
      return done;
    };
    await producer.pause();
    await start(handle);
    await start(handle, { pool: other });
    await add('resting');
    await otherQueue.enqueue(
      { tenant: 't', job: 'working' },
      { priority: 5, tokens, delayMs: 0, deadlineMs: tomorrowMs },
    );
    await until('the other works', () => handled.length > 0);
    expect(handled).toEqual(['working']);
    await producer.resume();
    await until('the pool goes on', async () => handled.length > 1 && (await isEmpty()));
    expect(handled).toEqual(['working', 'resting']);
  });

  test('it goes on by itself when Redis was killed and came back', async () => {
    const gate = new Gate();
    await start(gate.handle, { concurrency: 4 });
    const before = await addMany(12, 'before');
    await until('all places are taken', () => gate.active === 4);
    await server.kill();
    gate.open();
    await server.start();
    const after = await addMany(12, 'after');
    await until('the queue is empty', isEmpty);
    expect(new Set(gate.handled)).toEqual(new Set([...before, ...after]));
  });
});
