import { type Job, Worker } from 'bullmq';
import { meanCountedCost } from '../../scenarios/drain-plan.ts';
import { meanCall } from '../../scenarios/workload.ts';
import { queueName, readTask } from '../baseline-task.ts';
import { callSimulator } from '../call-simulator.ts';

/**
 * A worker of stock BullMQ with its own limiter, as its documentation shows it: so many jobs per window, which for
 * tokens is the ceiling divided by the mean cost of a call; on 429 the queue is paused for Retry-After.
 */
const task = await readTask(process.argv[2]);
const { plan } = task;
const max = Math.max(1, Math.floor(plan.amount / meanCountedCost(plan.dimension, meanCall(plan.mix))));

const worker: Worker = new Worker(
  queueName,
  async (job: Job<{ tenant: number; index: number }>) => {
    const requestId = `${job.id}/${job.attemptsStarted}`;
    const key = plan.credentials[0]!.key;
    const { retryAfterMs } = await callSimulator(task, { ...job.data, requestId, key });
    if (retryAfterMs === undefined) return;
    await worker.rateLimit(retryAfterMs);
    throw Worker.RateLimitError();
  },
  {
    connection: { url: task.redisUrl },
    concurrency: plan.concurrency,
    limiter: { max, duration: plan.windowSeconds * 1_000 },
    removeOnComplete: { count: 0 },
  },
);
worker.on('error', (error) => console.error(error.message));
await worker.waitUntilReady();
console.log('baseline worker ready');
