/**
 * One large batch through real processes, by the official SDK or by `sluice batch run`, if wanted with kill -9 of a
 * worker, of the ingress and of Redis while it runs:
 *   node loadtest/batch/main.ts --lines 50000 --via sdk --kill --json
 * Fails unless every line is in one file once, and the provider, the ledger and the partial output agree.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import OpenAI from 'openai';
import { z } from 'zod';
import { systemClock } from '#shared/kernel/clock.ts';
import { type BatchSystem, startSystem } from './batch-system.ts';
import { checkAccounts } from './check-accounts.ts';
import { checkResults } from './check-results.ts';
import { cliDoor, resultFilesIn, sdkDoor } from './doors.ts';
import { KillInTurn } from './kill-in-turn.ts';
import { MemoryWatch } from './memory-watch.ts';
import { PartialOutput } from './partial-output.ts';
import { type Watched, watchBatch } from './watch-batch.ts';
import { key, refusedOf, writeInput } from './workload.ts';

const number = (preset: number, max: number) => z.coerce.number().int().min(1).max(max).default(preset);
const text = { type: 'string' } as const;
const yes = { type: 'boolean', default: false } as const;
const options = { lines: text, 'line-bytes': text, workers: text, via: text, kill: yes, json: yes };
const flags = z
  .object({
    lines: number(5_000, 10_000_000),
    'line-bytes': number(1_000, 100_000_000),
    workers: number(2, 64),
    via: z.enum(['sdk', 'cli']).default('sdk'),
    kill: z.boolean(),
    json: z.boolean(),
  })
  .parse(parseArgs({ options }).values);
const { lines } = flags;

function killingsOf({ ingress, workers, redis }: BatchSystem, memory: MemoryWatch): KillInTurn {
  const killed = (name: string, atShare: number, kill: () => Promise<void>) => ({
    name,
    atShare,
    kill: async () => {
      console.error(`kill -9 of ${name}`);
      await memory.look();
      await kill();
    },
  });
  if (!flags.kill) return new KillInTurn([]);
  return new KillInTurn([
    killed('worker', 0.2, () => workers[0]!.kill()),
    killed('ingress', 0.4, () => ingress.kill()),
    killed('redis', 0.6, () => redis.crash()),
    killed('ingress again', 0.8, () => ingress.kill()),
  ]);
}

async function main(): Promise<void> {
  const system = await startSystem(lines, flags.workers);
  const { url, folder, redis, ingress, workers } = system;
  const openai = new OpenAI({ apiKey: key, baseURL: `${url}/v1` });
  const input = join(folder, 'input.jsonl');
  await writeInput(input, lines, flags['line-bytes']);
  const files = resultFilesIn(folder);
  const door = flags.via === 'cli' ? cliDoor(system.children, url, files) : sdkDoor(openai);
  const memory = new MemoryWatch(() => ({
    ingress: [ingress.pid],
    worker: workers.map(({ pid }) => pid),
    redis: [redis.pid],
    [flags.via]: [door.pid()],
  }));
  const idle = await memory.now();

  const startedMs = systemClock.monotonicMs();
  const batchId = await door.begin(input);
  const uploaded = await memory.now();
  const partial = new PartialOutput(url, batchId);
  const killing = killingsOf(system, memory);
  const watched = await watchBatch(openai, batchId, { memory, killing, partial });
  const seconds = (systemClock.monotonicMs() - startedMs) / 1_000;
  await door.end(files);
  await partial.readOn();
  await memory.look();
  memory.stop();

  const rates = { seconds: Math.round(seconds), linesPerSecond: Math.round(lines / seconds) };
  const rssMb = { idle, uploaded, atQuarters: watched.rssMbAtQuarters, peak: memory.peaks };
  const stoodStill = flags.kill ? { stoodStillMs: killing.stoodStillMs } : {};
  const fellOver = [ingress, ...workers].reduce((sum, each) => sum + each.fellOver, 0);
  const checked = await check(system, watched, partial);
  const run = { via: flags.via, kill: flags.kill, lines, inputBytes: (await stat(input)).size };
  const result = { ...run, ...rates, ...checked, ...stoodStill, fellOver, rssMb };
  console.log(flags.json ? JSON.stringify(result) : JSON.stringify(result, undefined, 2));
  process.exit(checked.whole ? 0 : 1);
}

/** Everything that can be wrong with a batch that has ended. */
async function check(
  system: BatchSystem,
  { batch, linesReadWhileRunning }: Watched,
  partial: PartialOutput,
): Promise<{ whole: boolean } & Record<string, unknown>> {
  const { jobs, outputSha256, ...results } = await checkResults(resultFilesIn(system.folder), lines);
  const accounts = await checkAccounts(system, jobs, results.outputLines);
  const { completed, failed } = batch.request_counts!;
  const partialIsOutput = partial.digest() === outputSha256;
  const { linesNotCalled, callsOfNoLine, linesNotChargedOnce, rowsOfNoCall, usageDiscrepancies } = accounts;
  const { lost, duplicated, foreign } = results;
  const wrong = [lost, duplicated, foreign, linesNotCalled, callsOfNoLine, linesNotChargedOnce, rowsOfNoCall];
  const whole =
    batch.status === 'completed' &&
    completed === results.outputLines &&
    failed === results.errorLines &&
    failed === refusedOf(lines) &&
    jobs.size === lines &&
    partialIsOutput &&
    linesReadWhileRunning > 0 &&
    [...wrong, usageDiscrepancies].every((count) => count === 0);
  const { status } = batch;
  return { whole, status, ...results, linesReadWhileRunning, partialIsOutput, ...accounts };
}

// Leaving ends the processes of the run; a signal alone would not.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));
await main();
