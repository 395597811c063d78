import type { Redis } from 'ioredis';
import { terminalStates } from '#shared/contracts/job.ts';
import { keys } from '#shared/redis/keys.ts';
import { type Discrepancy, reconcileDay } from '#shared/usage/reconcile.ts';
import type { Arrival } from '../../loadtest/simulator/arrivals/arrival-log.ts';
import { type ArrivalSummary, summarize } from '../../loadtest/simulator/arrivals/summary.ts';
import type { Simulator } from '../../loadtest/simulator/start-simulator.ts';
import { type ConfigFile, ServiceProcess, type StartedProcess, writeConfiguration } from './processes.ts';
import { RedisProcess } from './redis-process.ts';
import { newSimulator } from './sluice.ts';
import { type SettingsOverrides, testKey } from './test-settings.ts';
import { until } from './until.ts';

export type IngressProcess = StartedProcess;

const lookedAtOnce = 200;

/** The tenant behind the test key. */
export const tenant = 'acme';

export interface LedgerRow {
  kind: string;
  job: string;
  inputTokens: number;
  outputTokens: number;
}

/** A Redis, a simulator in the test's own process, and ingresses and workers as processes that may be killed. */
export class FaultSystem {
  readonly redis: RedisProcess;
  readonly simulator: Simulator;
  /** The test's own connection. */
  readonly store: Redis;
  readonly config: ConfigFile;
  readonly #processes: Promise<ServiceProcess>[] = [];

  private constructor(redis: RedisProcess, simulator: Simulator, config: ConfigFile) {
    this.redis = redis;
    this.simulator = simulator;
    this.config = config;
    this.store = redis.connect();
    this.store.on('error', () => undefined);
  }

  /** `settings`: what differs from those of tests, perhaps by where the simulator is. */
  static async start(
    settings: SettingsOverrides | ((simulatorUrl: string) => SettingsOverrides) = {},
  ): Promise<FaultSystem> {
    const [redis, simulator] = await Promise.all([RedisProcess.start(), newSimulator()]);
    return new FaultSystem(
      redis,
      simulator,
      await writeConfiguration(
        simulator.url,
        typeof settings === 'function' ? settings(simulator.url) : settings,
      ),
    );
  }

  ingress(redisUrl = this.redis.url): Promise<IngressProcess> {
    return this.#start('ingress', redisUrl);
  }

  worker(redisUrl = this.redis.url): Promise<StartedProcess> {
    return this.#start('worker', redisUrl);
  }

  webhook(redisUrl = this.redis.url): Promise<StartedProcess> {
    return this.#start('webhook', redisUrl);
  }

  admin(redisUrl = this.redis.url): Promise<IngressProcess> {
    return this.#start('admin', redisUrl);
  }

  #start(service: 'ingress' | 'worker' | 'webhook' | 'admin', redisUrl: string): Promise<IngressProcess> {
    const started = ServiceProcess.start(service, this.config.path, redisUrl);
    this.#processes.push(started);
    return started;
  }

  /** Ends every process, hard; the output of one that fell over by itself is the caller's to look at before. */
  async stop(): Promise<void> {
    // One that is still starting when another one failed must not be left behind.
    const started = await Promise.allSettled(this.#processes);
    const running = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    await Promise.all(running.map((each) => each.end('SIGKILL')));
    this.store.disconnect();
    await Promise.all([this.simulator.stop(), this.redis.stop(), this.config.remove()]);
  }

  /** Where the processes keep their data. */
  get dataDir(): string {
    return this.config.folder;
  }

  get arrivals(): ArrivalSummary {
    return summarize(this.simulator.log);
  }

  /** Arrivals of one job, oldest first. */
  arrivalsOf(jobId: string): Arrival[] {
    const found: Arrival[] = [];
    const { log } = this.simulator;
    log.visit(0, (segment, index, seq) => {
      const arrival = log.read(segment, index, seq);
      if (arrival.clientRequestId.startsWith(`${jobId}/`)) found.push(arrival);
      return true;
    });
    return found;
  }

  async states(jobIds: readonly string[]): Promise<(string | null)[]> {
    const pipeline = this.store.pipeline();
    for (const jobId of jobIds) pipeline.hget(keys.job(tenant, jobId), 'state');
    return ((await pipeline.exec()) ?? []).map(([, state]) => state as string | null);
  }

  async counts(jobIds: readonly string[]): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const state of await this.states(jobIds))
      counts[state ?? 'lost'] = (counts[state ?? 'lost'] ?? 0) + 1;
    return counts;
  }

  /** Waits until all jobs have ended; how many ended how. */
  async ended(jobIds: readonly string[], timeoutMs = 120_000): Promise<Record<string, number>> {
    // Looks at a few at a time: whoever asks for thousands again and again slows down what it waits for.
    let open = jobIds;
    const all = async () => {
      const states = await this.states(open.slice(0, lookedAtOnce));
      const isOpen = (_: string, index: number) =>
        !(terminalStates as readonly unknown[]).includes(states[index]);
      open = [...open.slice(0, lookedAtOnce).filter(isOpen), ...open.slice(lookedAtOnce)];
      return open.length === 0;
    };
    await until('all jobs ended', all, timeoutMs).catch(async (error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(await this.counts(jobIds))}`);
    });
    return this.counts(jobIds);
  }

  /** Accepted jobs of the tenant, however they came to be. */
  jobIds(): Promise<string[]> {
    return this.store.zrange(keys.jobs(tenant), 0, '-1');
  }

  async ledger(): Promise<LedgerRow[]> {
    const rows = await this.store.xrange(keys.ledger(tenant), '-', '+');
    return rows.map(([, values]) => {
      const field = (name: string) => values[values.indexOf(name) + 1] ?? '';
      return {
        kind: field('kind'),
        job: field('job'),
        inputTokens: Number(field('inputTokens')),
        outputTokens: Number(field('outputTokens')),
      };
    });
  }

  /** Where the usage of today or yesterday is not the sum of the ledger; nowhere, if all is well. */
  async discrepancies(): Promise<Discrepancy[]> {
    const [seconds] = await this.store.time();
    const today = Math.floor(Number(seconds) / 86_400);
    const days = await Promise.all([today - 1, today].map((day) => reconcileDay(this.store, tenant, day)));
    return days.flat();
  }

  /** How many unended jobs the tenant is charged for; 0 when all is over. */
  async depth(): Promise<number> {
    return Number((await this.store.get(keys.depth(tenant))) ?? 0);
  }
}

/** POSTs JSON with the test key. */
export function post(
  ingress: IngressProcess,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`http://127.0.0.1:${ingress.port}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${testKey}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
}

export function get(ingress: IngressProcess, path: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${ingress.port}${path}`, {
    headers: { authorization: `Bearer ${testKey}` },
  });
}

export interface Submitted {
  status: number;
  job?: { id: string };
}

/** Submits bodies as one array; every entry has its own result. */
export async function submitAll(
  ingress: IngressProcess,
  entries: readonly Record<string, unknown>[],
): Promise<Submitted[]> {
  const response = await post(ingress, '/v1/jobs', entries);
  const { data } = (await response.json()) as { data?: Submitted[] };
  return data ?? entries.map(() => ({ status: response.status }));
}

/** Submits bodies that must all be accepted; their ids. */
export async function submit(
  ingress: IngressProcess,
  bodies: readonly Record<string, unknown>[],
  more: Record<string, unknown> = {},
): Promise<string[]> {
  const results = await submitAll(
    ingress,
    bodies.map((body) => ({ endpoint: '/v1/chat/completions', body, ...more })),
  );
  return results.map(({ status, job }) => {
    if (status !== 202 || !job) throw new Error(`not accepted: ${status}`);
    return job.id;
  });
}
