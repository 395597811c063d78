import { parseArgs } from 'node:util';
import { z } from 'zod';
import { systemClock } from '#shared/kernel/clock.ts';
import { percentile } from '../bench/percentile.ts';
import { Children } from '../cluster/children.ts';
import { Product } from '../cluster/product.ts';
import { Provider } from '../cluster/provider.ts';
import { RedisServer } from '../cluster/redis-server.ts';

/**
 * What Sluice adds to the time to the first byte of a stream: the same streamed call straight to the provider and
 * through ingress, queue and worker, in turn, one at a time.
 */
const key = 'sk-sl-load';
const model = 'gpt-5-mini';
const warmUpCalls = 30;

const flags = z
  .object({
    calls: z.coerce.number().int().min(10).max(100_000).default(300),
    'first-byte-ms': z.coerce.number().min(0).max(60_000).default(50),
    json: z.boolean().default(false),
  })
  .parse(
    parseArgs({
      options: { calls: { type: 'string' }, 'first-byte-ms': { type: 'string' }, json: { type: 'boolean' } },
    }).values,
  );

async function firstByteMs(origin: string, index: number): Promise<number> {
  const startedMs = systemClock.monotonicMs();
  const response = await fetch(`${origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: `call ${index}` }] }),
  });
  const reader = response.body!.getReader();
  const { value } = await reader.read();
  const tookMs = systemClock.monotonicMs() - startedMs;
  if (!response.ok || !value) throw new Error(`HTTP ${response.status}`);
  while (!(await reader.read()).done);
  return tookMs;
}

function summaryOf(samples: readonly number[]): { p50: number; p99: number } {
  const sorted = samples.toSorted((left, right) => left - right);
  const rounded = (share: number) => Math.round(percentile(sorted, share) * 100) / 100;
  return { p50: rounded(0.5), p99: rounded(0.99) };
}

const children = new Children();
const [redis, provider] = await Promise.all([RedisServer.start(children), Provider.start(children, 1)]);
await provider.answerAfter(flags['first-byte-ms']);
const configuration = {
  http: { host: '127.0.0.1', port: 0 },
  operations: { port: 0 },
  providers: {
    load: {
      dialect: 'openai',
      base_url: `${provider.url}/v1`,
      credentials: [{ id: 'main', api_key: 'sk-simulator' }],
      pools: { chat: { models: [model] } },
    },
  },
  customers: { load: { keys: [{ id: 'load', key }] } },
};
const product = await Product.start(children, configuration, redis.url);
await product.addWorkers(1);
const direct: number[] = [];
const through: number[] = [];
for (let index = 0; index < flags.calls + warmUpCalls; index++) {
  const pair = [await firstByteMs(provider.url, index), await firstByteMs(product.url, index)] as const;
  if (index < warmUpCalls) continue;
  direct.push(pair[0]);
  through.push(pair[1]);
}
await product.kill();
await redis.stop();
const [plain, streamed] = [summaryOf(direct), summaryOf(through)];
const added = {
  p50: Math.round((streamed.p50 - plain.p50) * 100) / 100,
  p99: Math.round((streamed.p99 - plain.p99) * 100) / 100,
};
const result = {
  calls: flags.calls,
  firstByteMs: flags['first-byte-ms'],
  directMs: plain,
  throughMs: streamed,
  addedMs: added,
};
console.log(flags.json ? JSON.stringify(result) : result);
process.exit(0);
