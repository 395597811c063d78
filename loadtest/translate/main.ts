import { parseArgs } from 'node:util';
import { z } from 'zod';
import { systemClock } from '#shared/kernel/clock.ts';
import { cpuTimeUs } from '../bench/cpu-time.ts';
import { median } from '../bench/percentile.ts';
import { Children } from '../cluster/children.ts';
import { Product } from '../cluster/product.ts';
import { Provider } from '../cluster/provider.ts';
import { RedisServer } from '../cluster/redis-server.ts';

/**
 * What a translation costs: the same calls, passed through to a provider of their own dialect and translated for one of
 * another, in turn. CPU of ingress and worker per call under load, and latency of one call at a time.
 */
const key = 'sk-sl-load';
const warmUpCalls = 60;

const flags = z
  .object({
    rounds: z.coerce.number().int().min(1).max(100).default(5),
    calls: z.coerce.number().int().min(10).max(100_000).default(300),
    concurrency: z.coerce.number().int().min(1).max(256).default(16),
    json: z.boolean().default(false),
  })
  .parse(
    parseArgs({
      options: {
        rounds: { type: 'string' },
        calls: { type: 'string' },
        concurrency: { type: 'string' },
        json: { type: 'boolean' },
      },
    }).values,
  );

const tool = {
  name: 'weather',
  description: 'The weather of a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
};
const turns = [
  { role: 'system', content: 'You answer briefly and name your sources.' },
  { role: 'user', content: 'What do the rivers of the north carry to the sea in spring? '.repeat(8) },
  { role: 'assistant', content: 'Meltwater, and what the ice held. '.repeat(8) },
  { role: 'user', content: 'And in autumn?' },
];

/** One kind of call: passed through when its model is of its own dialect. */
interface Way {
  name: string;
  model: string;
  stream: boolean;
}
const ways: Way[] = [
  { name: 'passed', model: 'gpt-5-mini', stream: false },
  { name: 'translated', model: 'claude-sonnet-5', stream: false },
  { name: 'passed_stream', model: 'gpt-5-mini', stream: true },
  { name: 'translated_stream', model: 'claude-sonnet-5', stream: true },
];

const children = new Children();
const [redis, provider] = await Promise.all([RedisServer.start(children), Provider.start(children, 1)]);
const pool = (models: string[]) => ({ models, concurrency: flags.concurrency });
const credentials = [{ id: 'main', api_key: 'sk-simulator' }];
const product = await Product.start(
  children,
  {
    http: { host: '127.0.0.1', port: 0 },
    operations: { port: 0 },
    providers: {
      openai: {
        dialect: 'openai',
        base_url: `${provider.url}/v1`,
        credentials,
        pools: { chat: pool(['gpt-5-mini']) },
      },
      anthropic: {
        dialect: 'anthropic',
        base_url: provider.url,
        credentials,
        pools: { claude: pool(['claude-sonnet-5']) },
      },
    },
    customers: { load: { keys: [{ id: 'load', key }] } },
  },
  redis.url,
);
await product.addWorkers(1);
const [workerPid] = product.workerPids;

async function call({ model, stream }: Way): Promise<void> {
  const response = await fetch(`${product.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      stream,
      messages: turns,
      max_tokens: 64,
      tools: [{ type: 'function', function: tool }],
    }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${text}`);
}

/** CPU of a process per call, microseconds, over one round. */
async function cpuPerCall(way: Way): Promise<{ ingress: number; worker: number }> {
  const before = [cpuTimeUs(product.ingressPid), cpuTimeUs(workerPid!)] as const;
  let left = flags.calls;
  const caller = async () => {
    while (left-- > 0) await call(way);
  };
  await Promise.all(Array.from({ length: flags.concurrency }, caller));
  const per = (pid: number, was: number) => Math.round((cpuTimeUs(pid) - was) / flags.calls);
  return { ingress: per(product.ingressPid, before[0]), worker: per(workerPid!, before[1]) };
}

async function latencyMs(way: Way): Promise<number> {
  const startedMs = systemClock.monotonicMs();
  await call(way);
  return systemClock.monotonicMs() - startedMs;
}

const rounded = (value: number) => Math.round(value * 100) / 100;

const firstTranslatedMs = rounded(await latencyMs(ways[1]!));
for (const way of ways) for (let index = 0; index < warmUpCalls; index++) await call(way);
const cpu = new Map(ways.map(({ name }) => [name, [] as { ingress: number; worker: number }[]]));
const latency = new Map(ways.map(({ name }) => [name, [] as number[]]));
for (let round = 0; round < flags.rounds; round++) {
  for (const way of ways) cpu.get(way.name)!.push(await cpuPerCall(way));
  for (let index = 0; index < flags.calls / 10; index++)
    for (const way of ways) latency.get(way.name)!.push(await latencyMs(way));
}
const summary = Object.fromEntries(
  ways.map(({ name }) => [
    name,
    {
      ingressUs: median(cpu.get(name)!.map(({ ingress }) => ingress)),
      workerUs: median(cpu.get(name)!.map(({ worker }) => worker)),
      p50Ms: rounded(median(latency.get(name)!)),
    },
  ]),
);
await product.kill();
await redis.stop();
const result = { ...flags, firstTranslatedMs, ...summary };
console.log(flags.json ? JSON.stringify(result) : result);
process.exit(0);
