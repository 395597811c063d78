import { Redis } from 'ioredis';
import { keys } from '#shared/redis/keys.ts';
import { Product } from '../cluster/product.ts';
import { RedisServer } from '../cluster/redis-server.ts';
import { type Submission, submitJobs } from '../cluster/submit-jobs.ts';
import type { DrainPlan } from './drain-plan.ts';
import { productConfiguration } from './product-configuration.ts';
import type { QueueSystem, SystemParts } from './queue-system.ts';
import { plannedCall } from './workload.ts';

/** Sluice on a Redis of its own. */
export class SluiceSystem implements QueueSystem {
  readonly redis: RedisServer;
  readonly product: Product;
  readonly #parts: SystemParts;

  private constructor(parts: SystemParts, redis: RedisServer, product: Product) {
    this.#parts = parts;
    this.redis = redis;
    this.product = product;
  }

  static async start(parts: SystemParts): Promise<SluiceSystem> {
    const redis = await RedisServer.start(parts.children);
    const configuration = productConfiguration(parts.plan, parts.provider.url);
    const product = await Product.start(parts.children, configuration, redis.url);
    return new SluiceSystem(parts, redis, product);
  }

  async submit(tenant: number, count: number): Promise<void> {
    const { plan, ledger } = this.#parts;
    const { name, key } = plan.tenants[tenant]!;
    const calls = plannedSubmissions(plan, tenant, ledger.take(tenant, count));
    await submitJobs({ url: this.product.url, key }, calls, (job, atMs) => ledger.add(job, name, atMs));
  }

  startWorkers(): Promise<void> {
    return this.product.addWorkers(this.#parts.plan.workers);
  }

  /** Brings a changed plan to the running processes, by their configuration file alone. */
  async apply(plan: DrainPlan): Promise<void> {
    await this.product.configure(productConfiguration(plan, this.#parts.provider.url));
  }

  /** Jobs of all tenants that have not ended. */
  async unended(): Promise<number> {
    const counts = await this.#store((store) =>
      this.#parts.plan.tenants.map(({ name }) => store.zcard(keys.open(name))),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** How many of these jobs are in which state; `none` for a job without a record. */
  async states(jobs: readonly string[]): Promise<Record<string, number>> {
    const { ledger } = this.#parts;
    const states = await this.#store((store) =>
      jobs.map((job) => store.hget(keys.job(ledger.tenantOf(job) ?? '', job), 'state')),
    );
    const counts: Record<string, number> = {};
    for (const state of states) counts[state ?? 'none'] = (counts[state ?? 'none'] ?? 0) + 1;
    return counts;
  }

  async #store<T>(ask: (store: Redis) => Promise<T>[]): Promise<T[]> {
    const store = new Redis(this.redis.url, { enableAutoPipelining: true });
    try {
      return await Promise.all(ask(store));
    } finally {
      store.disconnect();
    }
  }

  async end(): Promise<void> {
    await this.product.kill();
    await this.redis.stop();
  }
}

function* plannedSubmissions(
  plan: DrainPlan,
  tenant: number,
  numbers: { from: number; to: number },
): Generator<Submission> {
  for (let index = numbers.from; index < numbers.to; index++) {
    const { endpoint, body } = plannedCall(plan, tenant, index);
    yield { endpoint, body };
  }
}
