import { DelayedError, type Job, Queue, Worker, type WorkerOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { RedisProcess } from '../../harness/redis-process.ts';
import { until } from '../../harness/until.ts';
import { backends, countWaiting, recordEvents, startWorker } from './bull-queue.ts';

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

let queues = 0;

/** What an application may expect of BullMQ: the stock backend shows that the expectation is BullMQ's. */
describe.each(Object.entries(backends))('Queue and Worker on %s', (_name, backend) => {
  let name: string;
  let queue: Queue;
  let closers: { close(): Promise<unknown> }[];

  beforeEach(async () => {
    name = `q${queues++}`;
    queue = new Queue(name, { connection: redis }, backend) as unknown as Queue;
    await queue.waitUntilReady();
    closers = [];
  });
  afterEach(async () => {
    for (const closer of closers.toReversed()) await closer.close();
    await queue.close();
  });

  const work = (
    process: (job: Job, token?: string) => Promise<unknown>,
    options: Partial<WorkerOptions> = {},
  ) => startWorker(name, backend, redis, closers, process, options);
  const events = () => recordEvents(name, redis, closers);
  const waiting = () => countWaiting(queue);

  test('a job is processed once and keeps its return value', async () => {
    const job = await queue.add('one', { hello: 'world' });
    work(async ({ data }) => ({ got: data.hello }));
    await until('completed', () => job.isCompleted());
    const stored = await queue.getJob(job.id!);
    expect(stored?.returnvalue).toEqual({ got: 'world' });
    expect(stored?.attemptsMade).toBe(1);
    expect(stored?.attemptsStarted).toBe(1);
    expect(stored?.finishedOn).toBeGreaterThanOrEqual(stored!.processedOn!);
    expect(await queue.getJobCounts('active', 'completed', 'prioritized', 'waiting')).toEqual({
      active: 0,
      completed: 1,
      prioritized: 0,
      waiting: 0,
    });
  });

  test('jobs without a priority run in the order in which they were added', async () => {
    for (let index = 0; index < 25; index++) await queue.add('job', { index });
    const order: number[] = [];
    work(async ({ data }) => order.push(data.index));
    await until('all done', () => order.length === 25);
    expect(order).toEqual(Array.from({ length: 25 }, (_, index) => index));
  });

  test('addBulk keeps the order too', async () => {
    await queue.addBulk(Array.from({ length: 30 }, (_, index) => ({ name: 'job', data: { index } })));
    const order: number[] = [];
    work(async ({ data }) => order.push(data.index));
    await until('all done', () => order.length === 30);
    expect(order).toEqual(Array.from({ length: 30 }, (_, index) => index));
  });

  test('a lower priority number runs first, jobs without one before all', async () => {
    for (const priority of [5, 1, 9, 1, 0, 2_000_000]) await queue.add('job', { priority }, { priority });
    const order: number[] = [];
    work(async ({ data }) => order.push(data.priority));
    await until('all done', () => order.length === 6);
    expect(order).toEqual([0, 1, 1, 5, 9, 2_000_000]);
  });

  test('changePriority moves a waiting job', async () => {
    await queue.add('job', {}, { jobId: 'first', priority: 2 });
    const late = await queue.add('job', {}, { jobId: 'late', priority: 7 });
    await late.changePriority({ priority: 1 });
    const order: string[] = [];
    work(async ({ id }) => order.push(id!));
    await until('both done', () => order.length === 2);
    expect(order).toEqual(['late', 'first']);
  });

  test('getCountsPerPriority counts waiting jobs', async () => {
    for (const priority of [1, 1, 3]) await queue.add('job', {}, { priority });
    expect(await queue.getCountsPerPriority([1, 2, 3])).toEqual({ 1: 2, 2: 0, 3: 1 });
  });

  test('a known jobId is not added twice', async () => {
    await queue.add('job', { turn: 1 }, { jobId: 'mine', priority: 1 });
    await queue.add('job', { turn: 2 }, { jobId: 'mine', priority: 1 });
    expect(await waiting()).toBe(1);
    expect((await queue.getJob('mine'))?.data).toEqual({ turn: 1 });
  });

  test('deduplication drops the second job', async () => {
    const first = await queue.add('job', {}, { deduplication: { id: 'd' } });
    const second = await queue.add('job', {}, { deduplication: { id: 'd' } });
    expect(second.id).toBe(first.id);
    expect(await waiting()).toBe(1);
  });

  test('a delayed job is delayed, runs when it is due, and not before', async () => {
    const worker = work(async () => systemClock.nowMs());
    await worker.waitUntilReady();
    const job = await queue.add('job', {}, { delay: 300 });
    expect(await job.getState()).toBe('delayed');
    await until('completed', () => job.isCompleted());
    const stored = await queue.getJob(job.id!);
    expect(stored!.returnvalue - job.timestamp).toBeGreaterThanOrEqual(300);
    expect(stored!.returnvalue - job.timestamp).toBeLessThan(3_000);
  });

  test('promote lets a delayed job run at once', async () => {
    const job = await queue.add('job', {}, { delay: 3_600_000, priority: 3 });
    await job.promote();
    work(async () => 'ok');
    await until('completed', () => job.isCompleted());
  });

  test('a failing job is tried again with its backoff, and then fails with the reason', async () => {
    const starts: number[] = [];
    const job = await queue.add('job', {}, { attempts: 3, backoff: { type: 'fixed', delay: 40 } });
    work(async () => {
      starts.push(systemClock.nowMs());
      throw new Error('no luck');
    });
    await until('failed', () => job.isFailed());
    expect(starts).toHaveLength(3);
    const stored = await queue.getJob(job.id!);
    expect(stored).toMatchObject({ failedReason: 'no luck', attemptsMade: 3, attemptsStarted: 3 });
    expect(starts[1]! - starts[0]!).toBeGreaterThanOrEqual(39);
  });

  test('a retry without backoff comes back at once', async () => {
    let starts = 0;
    const job = await queue.add('job', {}, { attempts: 2, priority: 2 });
    work(async () => {
      starts++;
      if (starts === 1) throw new Error('again');
      return 'ok';
    });
    await until('completed', () => job.isCompleted());
    expect(starts).toBe(2);
  });

  test('a failed job can be retried by hand', async () => {
    let broken = true;
    const job = await queue.add('job', {});
    work(async () => {
      if (broken) throw new Error('broken');
      return 'mended';
    });
    await until('failed', () => job.isFailed());
    broken = false;
    await (await queue.getJob(job.id!))!.retry();
    await until('completed', () => job.isCompleted());
  });

  test('moveToDelayed sends a job back without using up an attempt', async () => {
    let starts = 0;
    const job = await queue.add('job', {}, { attempts: 1 });
    work(async (current, token) => {
      starts++;
      if (starts === 1) {
        await current.moveToDelayed(systemClock.nowMs() + 50, token);
        throw new DelayedError();
      }
      return 'ok';
    });
    await until('completed', () => job.isCompleted());
    expect(starts).toBe(2);
  });

  test('a job whose worker died is found, reported and run again', async () => {
    const seen = await events();
    const job = await queue.add('job', {}, { priority: 1 });
    const options = { connection: redis, lockDuration: 200, stalledInterval: 200, skipLockRenewal: true };
    const dead = new Worker(name, async () => new Promise(() => undefined), options, backend);
    dead.on('error', () => undefined);
    await until('active', () => job.isActive());
    await dead.close(true);
    work(async () => 'ok', { stalledInterval: 200 });
    await until('completed', () => job.isCompleted());
    await until('stalled event', () => seen.some(({ event }) => event === 'stalled'));
    expect((await queue.getJob(job.id!))?.stalledCounter).toBe(1);
  });

  test('a job that stalls too often fails', async () => {
    const job = await queue.add('job', {});
    const options = { lockDuration: 100, stalledInterval: 100, skipLockRenewal: true, maxStalledCount: 0 };
    const dead = new Worker(
      name,
      async () => new Promise(() => undefined),
      { connection: redis, ...options },
      backend,
    );
    dead.on('error', () => undefined);
    await until('active', () => job.isActive());
    await dead.close(true);
    work(async () => 'ok', options);
    await until('failed', () => job.isFailed());
    expect((await queue.getJob(job.id!))?.failedReason).toMatch(/stalled/);
  });

  test('a lock is renewed for as long as a job runs', async () => {
    let starts = 0;
    const job = await queue.add('job', {});
    work(
      async () => {
        starts++;
        await systemClock.sleep(900);
        return 'ok';
      },
      { lockDuration: 300, stalledInterval: 200 },
    );
    await until('completed', () => job.isCompleted());
    expect(starts).toBe(1);
  });

  test('a paused queue starts nothing until it is resumed', async () => {
    let starts = 0;
    const worker = work(async () => starts++);
    await worker.waitUntilReady();
    await queue.pause();
    const job = await queue.add('job', {}, { priority: 1 });
    await queue.add('job', {});
    await systemClock.sleep(150);
    expect([starts, await waiting()]).toEqual([0, 2]);
    await queue.resume();
    await until('completed', () => job.isCompleted());
    await until('both ran', () => starts === 2);
  });

  test('a removed job does not run', async () => {
    const gone = await queue.add('job', {}, { jobId: 'gone' });
    await queue.add('job', {}, { jobId: 'kept' });
    await gone.remove();
    expect(await gone.getState()).toBe('unknown');
    const ran: string[] = [];
    work(async ({ id }) => ran.push(id!));
    await until('ran', () => ran.length > 0);
    expect(ran).toEqual(['kept']);
  });

  test('an active job is not removed', async () => {
    const job = await queue.add('job', {});
    let finish: () => void = () => undefined;
    work(() => new Promise<void>((resolve) => (finish = resolve)));
    await until('active', () => job.isActive());
    expect(await queue.remove(job.id!)).toBe(0);
    finish();
    await until('completed', () => job.isCompleted());
  });

  test('drain empties the queue, and it works afterwards', async () => {
    for (let index = 0; index < 10; index++) await queue.add('job', {}, { priority: index });
    await queue.drain();
    expect(await waiting()).toBe(0);
    const ran: string[] = [];
    work(async ({ name: job }) => ran.push(job));
    await queue.add('after', {});
    await until('ran', () => ran.length > 0);
    expect(ran).toEqual(['after']);
  });

  test('clean removes waiting jobs', async () => {
    for (let index = 0; index < 5; index++) await queue.add('job', {}, { priority: 1 });
    await until(
      'old enough',
      async () => (await queue.clean(0, 100, 'prioritized')).length > 0 || (await waiting()) === 0,
    );
    expect(await waiting()).toBe(0);
  });

  test('obliterate leaves nothing that runs', async () => {
    for (let index = 0; index < 5; index++) await queue.add('job', {});
    await queue.obliterate();
    expect(await queue.getJobCounts('waiting', 'prioritized', 'delayed')).toEqual({
      waiting: 0,
      prioritized: 0,
      delayed: 0,
    });
    await queue.resume();
    const ran: string[] = [];
    work(async ({ name: job }) => ran.push(job));
    await queue.add('after', {});
    await until('ran', () => ran.length > 0);
    expect(ran).toEqual(['after']);
  });

  test('getJobs lists waiting jobs with their data', async () => {
    for (const index of [1, 2, 3]) await queue.add('job', { index }, { priority: 1 });
    const jobs = await queue.getJobs(['waiting', 'prioritized'], 0, -1, true);
    expect(jobs.map(({ data }) => data.index)).toEqual([1, 2, 3]);
    expect(await jobs[0]!.getState()).toMatch(/waiting|prioritized/);
  });

  test('no more jobs are active than the concurrency of the queue allows', async () => {
    await queue.setGlobalConcurrency(2);
    let active = 0;
    let most = 0;
    let done = 0;
    for (let index = 0; index < 8; index++) await queue.add('job', {});
    const process = async () => {
      most = Math.max(most, ++active);
      await systemClock.sleep(15);
      active--;
      done++;
    };
    work(process, { concurrency: 3 });
    work(process, { concurrency: 3 });
    await until('all done', () => done === 8);
    expect(most).toBe(2);
  });

  test('a worker runs as many jobs at once as its concurrency, and no more', async () => {
    let active = 0;
    let most = 0;
    let done = 0;
    await queue.addBulk(Array.from({ length: 12 }, () => ({ name: 'job', data: {} })));
    work(
      async () => {
        most = Math.max(most, ++active);
        await systemClock.sleep(30);
        active--;
        done++;
      },
      { concurrency: 4 },
    );
    await until('all done', () => done === 12);
    expect(most).toBe(4);
  });

  test("BullMQ's own limiter holds jobs back", async () => {
    const starts: number[] = [];
    await queue.addBulk(Array.from({ length: 4 }, () => ({ name: 'job', data: {} })));
    work(async () => starts.push(systemClock.nowMs()), {
      concurrency: 4,
      limiter: { max: 2, duration: 400 },
    });
    await until('all done', () => starts.length === 4);
    expect(starts[2]! - starts[0]!).toBeGreaterThan(300);
  });

  test('events tell the life of a job', async () => {
    const seen = await events();
    const job = await queue.add('job', {}, { jobId: 'seen', priority: 1 });
    work(async () => 'ok');
    await until('completed', () => job.isCompleted());
    await until('event', () => seen.some(({ event }) => event === 'completed'));
    expect(seen.map(({ event }) => event)).toEqual(['added', 'waiting', 'active', 'completed']);
  });

  test('a job scheduler produces its jobs', async () => {
    let runs = 0;
    work(async () => runs++);
    await queue.upsertJobScheduler('tick', { every: 60 }, { name: 'tick', data: {} });
    await until('three runs', () => runs >= 3);
    await queue.removeJobScheduler('tick');
  });

  test('a worker that closes finishes what it holds', async () => {
    let finished = false;
    const job = await queue.add('job', {});
    const worker = work(async () => {
      await systemClock.sleep(100);
      finished = true;
    });
    await until('active', () => job.isActive());
    await worker.close();
    expect(finished).toBe(true);
    expect(await job.isCompleted()).toBe(true);
  });

  test('waiting, removed and delayed jobs of a full cycle leave no locks and no jobs in hand', async () => {
    for (let index = 0; index < 20; index++)
      await queue.add('job', {}, { priority: index % 3, removeOnComplete: true });
    let done = 0;
    work(async () => done++, { concurrency: 5 });
    await until('all done', () => done === 20);
    await until('nothing active', async () => (await queue.getActiveCount()) === 0);
    expect(await redis.keys(`bull:${name}:*:lock`)).toEqual([]);
    expect(await redis.exists(`bull:${name}:fair:leases`)).toBe(0);
  });
});
