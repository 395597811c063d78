import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { systemClock } from '#shared/kernel/clock.ts';
import { seededRandom } from '#shared/kernel/random.ts';
import { latencySchema } from './latency.ts';
import { limitsSchema } from './limits/limits-schema.ts';
import { startSimulator } from './start-simulator.ts';

const { values: flags } = parseArgs({
  options: {
    port: { type: 'string', default: '8090' },
    host: { type: 'string', default: '127.0.0.1' },
    seed: { type: 'string', default: '1' },
    'first-byte-ms': { type: 'string', default: '0' },
    'per-token-ms': { type: 'string', default: '0' },
    jitter: { type: 'string', default: '0' },
    limits: { type: 'string' },
    keys: { type: 'string' },
    'exit-with-parent': { type: 'boolean', default: false },
  },
});

const seed = z.coerce.number().int().parse(flags.seed);
const limits = limitsSchema.parse(
  // YAML contains JSON, so one reader serves both.
  flags.limits === undefined ? { scopes: [] } : parseYaml(await readFile(flags.limits, 'utf8')),
);
const latency = latencySchema.parse({
  firstByteMs: Number(flags['first-byte-ms']),
  perTokenMs: Number(flags['per-token-ms']),
  jitter: Number(flags.jitter),
});

const simulator = await startSimulator({
  clock: systemClock,
  random: seededRandom(seed),
  port: z.coerce.number().int().min(0).max(65_535).parse(flags.port),
  host: flags.host,
  seed,
  latency,
  limits,
  ...(flags.keys === undefined ? {} : { keys: flags.keys.split(',').filter((key) => key !== '') }),
});
console.log(`simulator listening on ${simulator.url}`);

const stop = () => {
  // Standard input would keep the process alive.
  process.stdin.destroy();
  void simulator.stop();
};
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
if (flags['exit-with-parent']) process.stdin.once('end', stop).once('error', stop).resume();
