import { parseArgs } from 'node:util';
import { z } from 'zod';

/** What can be measured; `-again` names a second visit to the same processes in the same round (an A/A pair). */
const targetNames = [
  'direct',
  'proxy',
  'stock',
  'sluice',
  'sluice-all',
  'sluice-again',
  'direct-again',
  'portkey',
] as const;
/** Portkey's gateway is fetched with npm, so only when it is asked for. */
const targetsUnlessNamed = targetNames.filter((name) => name !== 'portkey');
export type TargetName = (typeof targetNames)[number] | `against-${number}`;

const parts = z.string().transform((text) => text.split(',').filter((part) => part !== ''));
const numbers = (item: z.ZodCoercedNumber<string>) => parts.pipe(z.array(item).min(1));

const optionsSchema = z.object({
  seconds: z.coerce.number().min(0.2).max(60),
  warmup: z.coerce.number().min(0).max(60),
  heat: z.coerce.number().min(0).max(60),
  rounds: z.coerce.number().int().min(1).max(20),
  latency: numbers(z.coerce.number<string>().min(0).max(10_000)),
  concurrency: numbers(z.coerce.number<string>().int().min(1).max(1_000)),
  targets: parts.pipe(z.array(z.enum(targetNames)).min(1)),
  /** Folders of other checkouts of Sluice, measured in the same rounds as `against-1`, `against-2` … */
  against: parts,
  json: z.boolean(),
  out: z.string().optional(),
  profile: z.string().optional(),
});

export type BenchOptions = z.output<typeof optionsSchema>;

const usage = `npm run bench -- [options]
  --seconds 1.5            measured time of one cell
  --warmup 0.3             seconds of load before it
  --heat 3                 seconds of load on each target before the first round, for its compiler and caches
  --rounds 3               interleaved rounds; the order is reversed in every second one
  --latency 0,50           latency of the simulated provider in milliseconds, +-20 % jitter
  --concurrency 1,16,64,256
  --targets ${targetsUnlessNamed.join(',')}
                           also portkey: Portkey's gateway, fetched with npm
  --against <folder,…>     other checkouts of Sluice, visited in the same rounds as against-1, against-2 …
  --json                   the last line of the output is one JSON object
  --out <folder>           where bench.md and bench.json go (default loadtest/results)
  --profile <folder>       write a CPU profile of every Node process of the targets`;

/** Reads the command line. @throws Error that holds the usage text */
export function readOptions(args: readonly string[]): BenchOptions {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seconds: { type: 'string', default: '1.5' },
        warmup: { type: 'string', default: '0.3' },
        heat: { type: 'string', default: '3' },
        rounds: { type: 'string', default: '3' },
        latency: { type: 'string', default: '0,50' },
        concurrency: { type: 'string', default: '1,16,64,256' },
        targets: { type: 'string', default: targetsUnlessNamed.join(',') },
        against: { type: 'string', default: '' },
        json: { type: 'boolean', default: false },
        out: { type: 'string' },
        profile: { type: 'string' },
      },
    });
    return optionsSchema.parse(values);
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause);
    throw new Error(`${reason}\n\n${usage}`, { cause });
  }
}
