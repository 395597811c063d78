/**
 * What the fair backend costs beside stock BullMQ: Redis CPU and commands per job for adding and for a no-op drain,
 * memory per queued job, and dispatch time against the number of lanes. Prints ratios; interleaved rounds, medians.
 *
 * node loadtest/fair-bench/main.ts redis://127.0.0.1:6379 [jobs] [rounds] [--json]     (flushes that Redis)
 */
import { createRedisBackend, Job, type MinimalQueue, Queue, type RedisQueueBackend } from 'bullmq';
import { Redis } from 'ioredis';
import { systemClock } from '#shared/kernel/clock.ts';
import { createFairBackend } from '#shared/queue/fair/create-fair-backend.ts';
import type { FairQueueBackend } from '#shared/queue/fair/fair-backend.ts';
import { publishPool } from '#shared/queue/fair/publish-pool.ts';
import { corkWrites } from '#shared/redis/cork.ts';

const parameters = process.argv.slice(2).filter((each) => each !== '--json');
const [url = 'redis://127.0.0.1:6379', jobsText = '20000', roundsText = '5'] = parameters;
const jobs = Number(jobsText);
const rounds = Number(roundsText);
const batch = 32;
const keepNothing = { count: 0 };
const redis = new Redis(url, { maxRetriesPerRequest: null });
corkWrites(redis);

interface Cost {
  redisUs: number;
  commands: number;
  wallUs: number;
  /** Memory that Redis uses more of afterwards, bytes. */
  bytes: number;
}

async function usage(): Promise<{ cpuUs: number; commands: number; bytes: number }> {
  const cpu = await redis.info('cpu');
  const memory = await redis.info('memory');
  const stats = await redis.info('commandstats');
  const seconds = (name: string) => Number(new RegExp(`^${name}:(.*)$`, 'm').exec(cpu)![1]);
  const commands = [...stats.matchAll(/calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0);
  return {
    cpuUs: (seconds('used_cpu_sys_main_thread') + seconds('used_cpu_user_main_thread')) * 1e6,
    commands,
    bytes: Number(/^used_memory:(\d+)/m.exec(memory)![1]),
  };
}

async function measure(work: () => Promise<unknown>, per: number): Promise<Cost> {
  const before = await usage();
  const startedMs = systemClock.monotonicMs();
  await work();
  const wallUs = (systemClock.monotonicMs() - startedMs) * 1_000;
  const after = await usage();
  return {
    redisUs: (after.cpuUs - before.cpuUs) / per,
    commands: (after.commands - before.commands) / per,
    wallUs: wallUs / per,
    bytes: (after.bytes - before.bytes) / per,
  };
}

const ceilings = {
  credentials: [
    { id: 'k1', scope: 'org' },
    { id: 'k2', scope: 'org' },
  ],
  scopes: {
    org: [
      { dimension: 'requests' as const, amount: 100_000_000 },
      { dimension: 'tokens' as const, amount: 100_000_000_000 },
    ],
  },
};
const variants = {
  stock: createRedisBackend,
  'fair, with events': createFairBackend({ clock: systemClock, events: true }),
  'fair, no events': createFairBackend({ clock: systemClock, events: false }),
  'fair, rpm and tpm': createFairBackend({ clock: systemClock, events: false }),
};
type Variant = keyof typeof variants;

function ticket(index: number) {
  return { v: 1, tenant: `tenant${index % 10}`, job: `job_${index}`, input: 300, output: 100, max: 400 };
}

async function openQueue(variant: Variant) {
  await redis.flushall();
  const options = {
    connection: redis,
    prefix: 'sl:{bench}',
    lockDuration: 30_000,
    streams: { events: { maxLen: 100 } },
    removeOnComplete: keepNothing,
  };
  const queue = new Queue(`bench`, options, variants[variant] as typeof createRedisBackend);
  await queue.waitUntilReady();
  if (variant === 'fair, rpm and tpm')
    await publishPool(queue.getBackend() as unknown as FairQueueBackend, ceilings);
  return queue;
}

async function addAll(queue: Queue): Promise<void> {
  for (let from = 0; from < jobs; from += batch) {
    const some = Array.from({ length: Math.min(batch, jobs - from) }, (_, index) =>
      queue.add('call', ticket(from + index), { jobId: `job_${from + index}`, priority: 1, ...opts }),
    );
    await Promise.all(some);
  }
}
const opts = { removeOnComplete: keepNothing, removeOnFail: keepNothing, attempts: 1 };

const jobOf = (json: Parameters<typeof Job.fromJSON>[1], id: string) =>
  Job.fromJSON({ opts: {}, toKey: (type: string) => type } as unknown as MinimalQueue, json, id);

/** As BullMQ's Worker does it: completions in parallel, each fetching the next. */
async function drainStock(backend: RedisQueueBackend): Promise<void> {
  let done = 0;
  const worker = async (index: number) => {
    const token = `t${index}`;
    let next = await backend.moveToActive(token);
    while (next?.[0]) {
      const { result } = await backend.moveToCompleted(
        jobOf(next[0], next[1]),
        '"ok"',
        keepNothing,
        token,
        true,
      );
      done++;
      next = result as unknown[] as typeof next;
    }
  };
  await Promise.all(Array.from({ length: batch }, (_, index) => worker(index)));
  if (done !== jobs) throw new Error(`drained ${done} of ${jobs}`);
}

/** As the claim loop does it: what ends in one tick is completed in one script, which also fills the places. */
async function drainFair(backend: FairQueueBackend): Promise<void> {
  let done = 0;
  let { claimed } = await backend.claim({ count: batch, tokenPrefix: 't', tokenFrom: 0 });
  while (claimed.length > 0) {
    done += claimed.length;
    const usage = { in: 300, out: 90 };
    const completions = claimed.map(({ id, json, token }) => ({ job: jobOf(json, id), token, usage }));
    const next = { count: batch, tokenPrefix: 't', tokenFrom: done };
    ({ claimed } = await backend.complete(completions, next));
    // With events each job is completed by itself, and nothing is handed out on the way.
    if (claimed.length === 0) ({ claimed } = await backend.claim(next));
  }
  if (done !== jobs) throw new Error(`drained ${done} of ${jobs}`);
}

async function round(variant: Variant, results: Map<string, Cost[]>): Promise<void> {
  const note = (what: string, cost: Cost) =>
    results.set(`${variant} | ${what}`, [...(results.get(`${variant} | ${what}`) ?? []), cost]);
  const queue = await openQueue(variant);
  const backend = queue.getBackend();
  note('add', await measure(() => addAll(queue as unknown as Queue), jobs));
  note('drain, one by one', await measure(() => drainStock(backend), jobs));
  if (variant !== 'stock') {
    await addAll(queue as unknown as Queue);
    note(
      `drain, ${batch} at once`,
      await measure(() => drainFair(backend as unknown as FairQueueBackend), jobs),
    );
  }
  await queue.close();
}

const median = (values: number[]) =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)]!;

async function compare() {
  const results = new Map<string, Cost[]>();
  const names = Object.keys(variants) as Variant[];
  for (let index = 0; index < rounds; index++) {
    for (const variant of index % 2 ? names.toReversed() : names) await round(variant, results);
  }
  const of = (row: string) => {
    const costs = results.get(row)!;
    const pick = (key: keyof Cost) => median(costs.map((cost) => cost[key]));
    return {
      redisUs: pick('redisUs'),
      commands: pick('commands'),
      wallUs: pick('wallUs'),
      bytes: pick('bytes'),
    };
  };
  console.log(
    'variant | what | Redis CPU us per job (ratio to stock) | commands per job | wall us per job (stock/this) | memory per job',
  );
  for (const row of [...results.keys()].toSorted()) {
    const base = of(`stock | ${row.includes('| add') ? 'add' : 'drain, one by one'}`);
    const cost = of(row);
    console.log(
      `${row} | ${cost.redisUs.toFixed(1)} (${(cost.redisUs / base.redisUs).toFixed(2)}) | ` +
        `${cost.commands.toFixed(1)} | ${cost.wallUs.toFixed(1)} (${(base.wallUs / cost.wallUs).toFixed(2)}x)` +
        (row.includes('| add')
          ? ` | ${cost.bytes.toFixed(0)} bytes (${(cost.bytes / base.bytes).toFixed(2)})`
          : ''),
    );
  }
  const [stockDrain, stockAdd] = [of('stock | drain, one by one'), of('stock | add')];
  const ratiosOf = (variant: Variant) => {
    const [drain, add] = [of(`${variant} | drain, ${batch} at once`), of(`${variant} | add`)];
    return {
      drainRate: stockDrain.wallUs / drain.wallUs,
      drainRedisCpu: drain.redisUs / stockDrain.redisUs,
      addRedisCpu: add.redisUs / stockAdd.redisUs,
      memory: add.bytes / stockAdd.bytes,
    };
  };
  return { free: ratiosOf('fair, no events'), limited: ratiosOf('fair, rpm and tpm') };
}

/** Time of one dispatch in Redis, with many lanes behind it and a flood of one tenant in front. */
async function scale() {
  const measured: number[] = [];
  const claims = 2_000;
  for (const lanes of [10, 1_000, 100_000]) {
    const queue = await openQueue('fair, rpm and tpm');
    const backend = queue.getBackend() as unknown as FairQueueBackend;
    const total = Math.max(lanes, 3 * claims);
    for (let from = 0; from < total; from += 1_000) {
      const some = Array.from({ length: Math.min(1_000, total - from) }, (_, index) => ({
        name: 'call',
        data: { ...ticket(0), tenant: `tenant${(from + index) % lanes}` },
        opts,
      }));
      await queue.addBulk(some);
    }
    await redis.config('RESETSTAT');
    for (let index = 0; index < claims; index++) await backend.claim({ count: 1, tokenPrefix: `s${index}` });
    const stats = await redis.info('commandstats');
    measured.push(Number(/cmdstat_fcall:.*usec_per_call=([\d.]+)/.exec(stats)![1]));
    console.log(
      `${lanes} lanes: ${measured.at(-1)} us per dispatch (x${(measured.at(-1)! / measured[0]!).toFixed(2)})`,
    );
    await queue.close();
  }
  return measured;
}

const ratiosToStock = await compare();
const dispatchUs = await scale();
if (process.argv.includes('--json')) {
  console.log(JSON.stringify({ jobs, rounds, ratiosToStock, dispatchUs, lanes: [10, 1_000, 100_000] }));
}
redis.disconnect();
