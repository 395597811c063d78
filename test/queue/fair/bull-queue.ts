import { createRedisBackend, type Job, type Queue, QueueEvents, Worker, type WorkerOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import { systemClock } from '#shared/kernel/clock.ts';
import { createFairBackend } from '#shared/queue/fair/create-fair-backend.ts';

export const backends = {
  'the stock backend': createRedisBackend,
  'the fair backend': createFairBackend({ clock: systemClock, events: true }),
};

export type Backend = (typeof backends)[keyof typeof backends];
export type Closers = { close(): Promise<unknown> }[];

export function startWorker(
  name: string,
  backend: Backend,
  redis: Redis,
  closers: Closers,
  process: (job: Job, token?: string) => Promise<unknown>,
  options: Partial<WorkerOptions>,
): Worker {
  const worker = new Worker(name, process, { connection: redis, ...options }, backend);
  worker.on('error', () => undefined);
  closers.push(worker);
  return worker as unknown as Worker;
}

/** What QueueEvents tells of a queue, from its beginning. */
export async function recordEvents(name: string, redis: Redis, closers: Closers) {
  const seen: { event: string; jobId: string }[] = [];
  const listener = new QueueEvents(name, { connection: redis, lastEventId: '0' });
  closers.push(listener);
  for (const event of ['added', 'waiting', 'active', 'completed', 'failed', 'delayed', 'stalled'] as const)
    listener.on(event, ({ jobId }: { jobId: string }) => seen.push({ event, jobId }));
  await listener.waitUntilReady();
  return seen;
}

export async function countWaiting(queue: Queue): Promise<number> {
  const counts = await queue.getJobCounts('waiting', 'prioritized');
  return counts.waiting! + counts.prioritized!;
}
