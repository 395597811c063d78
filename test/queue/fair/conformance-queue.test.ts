import { describe, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { until } from '../../harness/until.ts';
import { bothBackends, useQueue } from './bullmq-suite.ts';

describe.each(bothBackends)('a queue on %s', (_name, backend) => {
  const current = useQueue(backend);
  test('a paused queue starts nothing until it is resumed', async () => {
    const { queue } = current();
    let starts = 0;
    const worker = current().work(async () => starts++);
    await worker.waitUntilReady();
    await queue.pause();
    const job = await queue.add('job', {}, { priority: 1 });
    await queue.add('job', {});
    await systemClock.sleep(150);
    expect([starts, await current().waiting()]).toEqual([0, 2]);
    await queue.resume();
    await until('completed', () => job.isCompleted());
    await until('both ran', () => starts === 2);
  });

  test('a removed job does not run', async () => {
    const { queue } = current();
    const gone = await queue.add('job', {}, { jobId: 'gone' });
    await queue.add('job', {}, { jobId: 'kept' });
    await gone.remove();
    expect(await gone.getState()).toBe('unknown');
    const ran: string[] = [];
    current().work(async ({ id }) => ran.push(id!));
    await until('ran', () => ran.length > 0);
    expect(ran).toEqual(['kept']);
  });

  test('an active job is not removed', async () => {
    const { queue } = current();
    const job = await queue.add('job', {});
    let finish: () => void = () => undefined;
    current().work(() => new Promise<void>((resolve) => (finish = resolve)));
    await until('active', () => job.isActive());
    expect(await queue.remove(job.id!)).toBe(0);
    finish();
    await until('completed', () => job.isCompleted());
  });

  test('drain empties the queue, and it works afterwards', async () => {
    const { queue } = current();
    for (let index = 0; index < 10; index++) await queue.add('job', {}, { priority: index });
    await queue.drain();
    expect(await current().waiting()).toBe(0);
    const ran: string[] = [];
    current().work(async ({ name: job }) => ran.push(job));
    await queue.add('after', {});
    await until('ran', () => ran.length > 0);
    expect(ran).toEqual(['after']);
  });

  test('clean removes waiting jobs', async () => {
    const { queue } = current();
    for (let index = 0; index < 5; index++) await queue.add('job', {}, { priority: 1 });
    await until(
      'old enough',
      async () => (await queue.clean(0, 100, 'prioritized')).length > 0 || (await current().waiting()) === 0,
    );
    expect(await current().waiting()).toBe(0);
  });

  test('obliterate leaves nothing that runs', async () => {
    const { queue } = current();
    for (let index = 0; index < 5; index++) await queue.add('job', {});
    await queue.obliterate();
    expect(await queue.getJobCounts('waiting', 'prioritized', 'delayed')).toEqual({
      waiting: 0,
      prioritized: 0,
      delayed: 0,
    });
    await queue.resume();
    const ran: string[] = [];
    current().work(async ({ name: job }) => ran.push(job));
    await queue.add('after', {});
    await until('ran', () => ran.length > 0);
    expect(ran).toEqual(['after']);
  });

  test('getJobs lists waiting jobs with their data', async () => {
    const { queue } = current();
    for (const index of [1, 2, 3]) await queue.add('job', { index }, { priority: 1 });
    const jobs = await queue.getJobs(['waiting', 'prioritized'], 0, -1, true);
    expect(jobs.map(({ data }) => data.index)).toEqual([1, 2, 3]);
    expect(await jobs[0]!.getState()).toMatch(/waiting|prioritized/);
  });

  test('no more jobs are active than the concurrency of the queue allows', async () => {
    const { queue } = current();
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
    current().work(process, { concurrency: 3 });
    current().work(process, { concurrency: 3 });
    await until('all done', () => done === 8);
    expect(most).toBe(2);
  });

  test('a worker runs as many jobs at once as its concurrency, and no more', async () => {
    const { queue } = current();
    let active = 0;
    let most = 0;
    let done = 0;
    await queue.addBulk(Array.from({ length: 12 }, () => ({ name: 'job', data: {} })));
    current().work(
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
    const { queue } = current();
    const starts: number[] = [];
    await queue.addBulk(Array.from({ length: 4 }, () => ({ name: 'job', data: {} })));
    current().work(async () => starts.push(systemClock.nowMs()), {
      concurrency: 4,
      limiter: { max: 2, duration: 400 },
    });
    await until('all done', () => starts.length === 4);
    expect(starts[2]! - starts[0]!).toBeGreaterThan(300);
  });

  test('events tell the life of a job', async () => {
    const { queue } = current();
    const seen = await current().events();
    const job = await queue.add('job', {}, { jobId: 'seen', priority: 1 });
    current().work(async () => 'ok');
    await until('completed', () => job.isCompleted());
    await until('event', () => seen.some(({ event }) => event === 'completed'));
    expect(seen.map(({ event }) => event)).toEqual(['added', 'waiting', 'active', 'completed']);
  });

  test('a job scheduler produces its jobs', async () => {
    const { queue } = current();
    let runs = 0;
    current().work(async () => runs++);
    await queue.upsertJobScheduler('tick', { every: 60 }, { name: 'tick', data: {} });
    await until('three runs', () => runs >= 3);
    await queue.removeJobScheduler('tick');
  });

  test('a worker that closes finishes what it holds', async () => {
    const { queue } = current();
    let finished = false;
    const job = await queue.add('job', {});
    const worker = current().work(async () => {
      await systemClock.sleep(100);
      finished = true;
    });
    await until('active', () => job.isActive());
    await worker.close();
    expect(finished).toBe(true);
    expect(await job.isCompleted()).toBe(true);
  });

  test('waiting, removed and delayed jobs of a full cycle leave no locks and no jobs in hand', async () => {
    const { queue, name, redis } = current();
    for (let index = 0; index < 20; index++)
      await queue.add('job', {}, { priority: index % 3, removeOnComplete: true });
    let done = 0;
    current().work(async () => done++, { concurrency: 5 });
    await until('all done', () => done === 20);
    await until('nothing active', async () => (await queue.getActiveCount()) === 0);
    expect(await redis.keys(`bull:${name}:*:lock`)).toEqual([]);
    expect(await redis.exists(`bull:${name}:fair:leases`)).toBe(0);
  });
});
