import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { systemClock } from '#shared/kernel/clock.ts';
import { seededRandom } from '#shared/kernel/random.ts';
import { latencySchema } from './latency.ts';
import { limitsSchema } from './limits/limits-schema.ts';
import { type SimulatorOptions, startSimulator } from './start-simulator.ts';

/** What the flags ask for. Throws a TypeError for an unknown flag and a ZodError for a wrong value. */
async function readFlags(): Promise<SimulatorOptions & { exitWithParent: boolean }> {
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
  // YAML contains JSON, so one reader serves both.
  const limits =
    flags.limits === undefined ? { scopes: [] } : parseYaml(await readFile(flags.limits, 'utf8'));
  const keys = flags.keys?.split(',').filter((key) => key !== '');
  return {
    clock: systemClock,
    random: seededRandom(seed),
    seed,
    host: flags.host,
    port: z.coerce.number().int().min(0).max(65_535).parse(flags.port),
    latency: latencySchema.parse({
      firstByteMs: Number(flags['first-byte-ms']),
      perTokenMs: Number(flags['per-token-ms']),
      jitter: Number(flags.jitter),
    }),
    limits: limitsSchema.parse(limits),
    ...(keys ? { keys } : {}),
    exitWithParent: flags['exit-with-parent'],
  };
}

async function run(): Promise<void> {
  const { exitWithParent, ...options } = await readFlags();
  const simulator = await startSimulator(options);
  console.log(`simulator listening on ${simulator.url}`);
  const stop = () => {
    // Standard input would keep the process alive.
    process.stdin.destroy();
    void simulator.stop();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  if (exitWithParent) process.stdin.once('end', stop).once('error', stop).resume();
}

await run().catch((error: unknown) => {
  console.error(error instanceof z.ZodError ? z.prettifyError(error) : String(error));
  process.exitCode = 1;
});
