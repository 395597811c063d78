import { DelayedError, Worker } from 'bullmq';
import { describe, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { until } from '../../harness/until.ts';
import { bothBackends, useQueue } from './bullmq-suite.ts';

describe.each(bothBackends)('jobs on %s', (_name, backend) => {
  const current = useQueue(backend);
  test('a job is processed once and keeps its return value', async () => {
    const { queue } = current();
    const job = await queue.add('one', { hello: 'world' });
    current().work(async ({ data }) => ({ got: data.hello }));
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
    const { queue } = current();
    for (let index = 0; index < 25; index++) await queue.add('job', { index });
    const order: number[] = [];
    current().work(async ({ data }) => order.push(data.index));
    await until('all done', () => order.length === 25);
    expect(order).toEqual(Array.from({ length: 25 }, (_, index) => index));
  });

  test('addBulk keeps the order too', async () => {
    const { queue } = current();
    await queue.addBulk(Array.from({ length: 30 }, (_, index) => ({ name: 'job', data: { index } })));
    const order: number[] = [];
    current().work(async ({ data }) => order.push(data.index));
    await until('all done', () => order.length === 30);
    expect(order).toEqual(Array.from({ length: 30 }, (_, index) => index));
  });

  test('a lower priority number runs first, jobs without one before all', async () => {
    const { queue } = current();
    for (const priority of [5, 1, 9, 1, 0, 2_000_000]) await queue.add('job', { priority }, { priority });
    const order: number[] = [];
    current().work(async ({ data }) => order.push(data.priority));
    await until('all done', () => order.length === 6);
    expect(order).toEqual([0, 1, 1, 5, 9, 2_000_000]);
  });

  test('changePriority moves a waiting job', async () => {
    const { queue } = current();
    await queue.add('job', {}, { jobId: 'first', priority: 2 });
    const late = await queue.add('job', {}, { jobId: 'late', priority: 7 });
    await late.changePriority({ priority: 1 });
    const order: string[] = [];
    current().work(async ({ id }) => order.push(id!));
    await until('both done', () => order.length === 2);
    expect(order).toEqual(['late', 'first']);
  });

  test('getCountsPerPriority counts waiting jobs', async () => {
    const { queue } = current();
    for (const priority of [1, 1, 3]) await queue.add('job', {}, { priority });
    expect(await queue.getCountsPerPriority([1, 2, 3])).toEqual({ 1: 2, 2: 0, 3: 1 });
  });

  test('a known jobId is not added twice', async () => {
    const { queue } = current();
    await queue.add('job', { turn: 1 }, { jobId: 'mine', priority: 1 });
    await queue.add('job', { turn: 2 }, { jobId: 'mine', priority: 1 });
    expect(await current().waiting()).toBe(1);
    expect((await queue.getJob('mine'))?.data).toEqual({ turn: 1 });
  });

  test('deduplication drops the second job', async () => {
    const { queue } = current();
    const first = await queue.add('job', {}, { deduplication: { id: 'd' } });
    const second = await queue.add('job', {}, { deduplication: { id: 'd' } });
    expect(second.id).toBe(first.id);
    expect(await current().waiting()).toBe(1);
  });

  test('a delayed job is delayed, runs when it is due, and not before', async () => {
    const { queue } = current();
    const worker = current().work(async () => systemClock.nowMs());
    await worker.waitUntilReady();
    const job = await queue.add('job', {}, { delay: 300 });
    expect(await job.getState()).toBe('delayed');
    await until('completed', () => job.isCompleted());
    const stored = await queue.getJob(job.id!);
    expect(stored!.returnvalue - job.timestamp).toBeGreaterThanOrEqual(300);
    expect(stored!.returnvalue - job.timestamp).toBeLessThan(3_000);
  });

  test('promote lets a delayed job run at once', async () => {
    const { queue } = current();
    const job = await queue.add('job', {}, { delay: 3_600_000, priority: 3 });
    await job.promote();
    current().work(async () => 'ok');
    await until('completed', () => job.isCompleted());
  });

  test('a failing job is tried again with its backoff, and then fails with the reason', async () => {
    const { queue } = current();
    const starts: number[] = [];
    const job = await queue.add('job', {}, { attempts: 3, backoff: { type: 'fixed', delay: 40 } });
    current().work(async () => {
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
    const { queue } = current();
    let starts = 0;
    const job = await queue.add('job', {}, { attempts: 2, priority: 2 });
    current().work(async () => {
      starts++;
      if (starts === 1) throw new Error('again');
      return 'ok';
    });
    await until('completed', () => job.isCompleted());
    expect(starts).toBe(2);
  });

  test('a failed job can be retried by hand', async () => {
    const { queue } = current();
    let broken = true;
    const job = await queue.add('job', {});
    current().work(async () => {
      if (broken) throw new Error('broken');
      return 'mended';
    });
    await until('failed', () => job.isFailed());
    broken = false;
    await (await queue.getJob(job.id!))!.retry();
    await until('completed', () => job.isCompleted());
  });

  test('moveToDelayed sends a job back without using up an attempt', async () => {
    const { queue } = current();
    let starts = 0;
    const job = await queue.add('job', {}, { attempts: 1 });
    current().work(async (current, token) => {
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
    const { queue, name, redis, backend } = current();
    const seen = await current().events();
    const job = await queue.add('job', {}, { priority: 1 });
    const options = { connection: redis, lockDuration: 200, stalledInterval: 200, skipLockRenewal: true };
    const dead = new Worker(name, async () => new Promise(() => undefined), options, backend);
    dead.on('error', () => undefined);
    await until('active', () => job.isActive());
    await dead.close(true);
    current().work(async () => 'ok', { stalledInterval: 200 });
    await until('completed', () => job.isCompleted());
    await until('stalled event', () => seen.some(({ event }) => event === 'stalled'));
    expect((await queue.getJob(job.id!))?.stalledCounter).toBe(1);
  });

  test('a job that stalls too often fails', async () => {
    const { queue, name, redis, backend } = current();
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
    current().work(async () => 'ok', options);
    await until('failed', () => job.isFailed());
    expect((await queue.getJob(job.id!))?.failedReason).toMatch(/stalled/);
  });

  test('a lock is renewed for as long as a job runs', async () => {
    const { queue } = current();
    let starts = 0;
    const job = await queue.add('job', {});
    current().work(
      async () => {
        starts++;
        await systemClock.sleep(3_000);
        return 'ok';
      },
      // The lock is renewed at half its time: so late may a busy machine be.
      { lockDuration: 2_000, stalledInterval: 100 },
    );
    await until('completed', () => job.isCompleted());
    expect(starts).toBe(1);
  });
});
