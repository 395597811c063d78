import { createRedisBackend, type Job, Queue, QueueEvents, Worker, type WorkerOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import { afterEach, beforeAll, beforeEach } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { createFairBackend } from '#shared/queue/fair/create-fair-backend.ts';
import { RedisProcess } from '../../harness/redis-process.ts';

const backends = {
  'the stock backend': createRedisBackend,
  'the fair backend': createFairBackend({ clock: systemClock, events: true }),
};
let queues = 0;

/** A queue of the test's own, and workers and listeners that end with the test. */
export class QueueUnderTest {
  readonly redis: Redis;
  readonly name = `q${queues++}`;
  readonly queue: Queue;
  readonly backend: typeof createRedisBackend;
  readonly #closers: { close(): Promise<unknown> }[] = [];

  constructor(redis: Redis, backend: typeof createRedisBackend) {
    this.redis = redis;
    this.backend = backend;
    this.queue = new Queue(this.name, { connection: redis }, backend) as unknown as Queue;
  }

  work(
    process: (job: Job, token?: string) => Promise<unknown>,
    options: Partial<WorkerOptions> = {},
  ): Worker {
    const worker = new Worker(this.name, process, { connection: this.redis, ...options }, this.backend);
    worker.on('error', () => undefined);
    this.#closers.push(worker);
    return worker as unknown as Worker;
  }

  async events(): Promise<{ event: string; jobId: string }[]> {
    const seen: { event: string; jobId: string }[] = [];
    const listener = new QueueEvents(this.name, { connection: this.redis, lastEventId: '0' });
    this.#closers.push(listener);
    for (const event of ['added', 'waiting', 'active', 'completed', 'failed', 'delayed', 'stalled'] as const)
      listener.on(event, ({ jobId }: { jobId: string }) => seen.push({ event, jobId }));
    await listener.waitUntilReady();
    return seen;
  }

  async waiting(): Promise<number> {
    const counts = await this.queue.getJobCounts('waiting', 'prioritized');
    return counts.waiting! + counts.prioritized!;
  }

  async close(): Promise<void> {
    for (const closer of this.#closers.toReversed()) await closer.close();
    await this.queue.close();
  }
}

/** The stock backend beside the fair one: it shows that an expectation is BullMQ's. */
export const bothBackends = Object.entries(backends);
type Backend = (typeof backends)[keyof typeof backends];

/** A queue of its own for each test of the surrounding `describe`. */
export function useQueue(backend: Backend): () => QueueUnderTest {
  let redis: Redis;
  let current: QueueUnderTest;
  beforeAll(async () => {
    const server = await RedisProcess.start();
    redis = server.connect();
    return () => server.stop();
  });
  beforeEach(async () => {
    current = new QueueUnderTest(redis, backend as typeof createRedisBackend);
    await current.queue.waitUntilReady();
  });
  afterEach(() => current.close());
  return () => current;
}
