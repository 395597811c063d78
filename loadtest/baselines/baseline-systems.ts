import { Queue } from 'bullmq';
import { systemClock } from '#shared/kernel/clock.ts';
import type { Child } from '../cluster/children.ts';
import { RedisServer } from '../cluster/redis-server.ts';
import type { QueueSystem, SystemParts } from '../scenarios/queue-system.ts';
import { type BaselineTask, jobName, queueName, writeTask } from './baseline-task.ts';

const jobsPerAdd = 1_000;
const ready = /baseline worker ready/;

async function startChildren(
  { children }: SystemParts,
  program: string,
  tasks: readonly BaselineTask[],
): Promise<Child[]> {
  const folder = await children.folder();
  const start = async (task: BaselineTask, index: number) => {
    const file = await writeTask(folder, `task-${index}`, task);
    return children.node({
      name: `${program} ${index}`,
      args: [`loadtest/baselines/${program}`, file],
      ready,
    });
  };
  return Promise.all(tasks.map(start));
}

async function killAll(workers: readonly Child[]): Promise<void> {
  for (const worker of workers) worker.signal('SIGKILL');
  await Promise.all(workers.map((worker) => worker.ended));
}

/** Stock BullMQ with its own limiter, on a Redis of its own. */
export class BullmqSystem implements QueueSystem {
  readonly #parts: SystemParts;
  readonly #redis: RedisServer;
  readonly #queue: Queue;
  #workers: Child[] = [];

  private constructor(parts: SystemParts, redis: RedisServer) {
    this.#parts = parts;
    this.#redis = redis;
    this.#queue = new Queue(queueName, { connection: { url: redis.url } });
  }

  static async start(parts: SystemParts): Promise<BullmqSystem> {
    return new BullmqSystem(parts, await RedisServer.start(parts.children));
  }

  async submit(tenant: number, count: number): Promise<void> {
    const { ledger, plan } = this.#parts;
    const { from, to } = ledger.take(tenant, count);
    for (let start = from; start < to; start += jobsPerAdd) {
      const indices = Array.from({ length: Math.min(jobsPerAdd, to - start) }, (_, offset) => start + offset);
      await this.#queue.addBulk(
        indices.map((index) => ({
          name: 'call',
          data: { tenant, index },
          opts: { jobId: jobName(tenant, index), attempts: 20 },
        })),
      );
      const atMs = systemClock.nowMs();
      for (const index of indices) ledger.add(jobName(tenant, index), plan.tenants[tenant]!.name, atMs);
    }
  }

  async startWorkers(): Promise<void> {
    const { plan, provider } = this.#parts;
    const task = { plan, simulatorUrl: provider.url, redisUrl: this.#redis.url, backlog: [] };
    this.#workers = await startChildren(
      this.#parts,
      'bullmq/main.ts',
      Array.from({ length: plan.workers }, () => task),
    );
  }

  async end(): Promise<void> {
    await killAll(this.#workers);
    await this.#queue.close();
    await this.#redis.stop();
  }
}

/** Clients that call the provider themselves and retry; their tenants are spread over the worker processes. */
export class RetryLoopSystem implements QueueSystem {
  readonly #parts: SystemParts;
  readonly #backlog: BaselineTask['backlog'] = [];
  #workers: Child[] = [];

  constructor(parts: SystemParts) {
    this.#parts = parts;
  }

  async submit(tenant: number, count: number): Promise<void> {
    const { ledger, plan } = this.#parts;
    const { from, to } = ledger.take(tenant, count);
    const atMs = systemClock.nowMs();
    for (let index = from; index < to; index++)
      ledger.add(jobName(tenant, index), plan.tenants[tenant]!.name, atMs);
    this.#backlog.push({ tenant, from, to });
  }

  async startWorkers(): Promise<void> {
    const { plan, provider } = this.#parts;
    const tasks = Array.from({ length: Math.min(plan.workers, plan.tenants.length) }, (_, worker) => ({
      plan,
      simulatorUrl: provider.url,
      redisUrl: '',
      backlog: this.#backlog.filter(({ tenant }) => tenant % plan.workers === worker),
    }));
    this.#workers = await startChildren(this.#parts, 'retry-loop/main.ts', tasks);
  }

  end(): Promise<void> {
    return killAll(this.#workers);
  }
}
