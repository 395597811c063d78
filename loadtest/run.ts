import { parseArgs } from 'node:util';
import { z } from 'zod';
import { systemClock } from '#shared/kernel/clock.ts';
import { BullmqSystem, RetryLoopSystem } from './baselines/baseline-systems.ts';
import { Children } from './cluster/children.ts';
import { type EventName, eventNames, eventScenario } from './scenarios/drain-events.ts';
import {
  type DrainPlan,
  dimensions,
  mixes,
  type PlanFlags,
  planDrain,
  shapes,
} from './scenarios/drain-plan.ts';
import { drainPlots } from './scenarios/drain-plots.ts';
import { runNoisyNeighbour } from './scenarios/noisy-neighbour.ts';
import type { SystemParts } from './scenarios/queue-system.ts';
import { type DrainResult, runDrain } from './scenarios/run-drain.ts';
import { type PlotData, type RunResult, saveResult } from './scenarios/run-result.ts';
import { settleAccounts } from './scenarios/settle-accounts.ts';
import { SluiceSystem } from './scenarios/sluice-system.ts';
import { whatHolds } from './scenarios/what-holds.ts';

const scenarios = [
  'drain',
  'noisy-neighbour',
  'baseline-bullmq',
  'baseline-retry-loop',
  ...eventNames,
] as const;
/** Time for starting, loading the backlog, settling and judging, beyond the measured time. */
const overheadMs = 600_000;

const whole = (preset: number, min: number, max: number) =>
  z.coerce.number().int().min(min).max(max).default(preset);
const flagsSchema = z.strictObject({
  shape: z.enum(shapes).default('refill'),
  dimension: z.enum(dimensions).default('rpm'),
  workers: whole(4, 1, 64),
  tenants: whole(12, 1, 1_000),
  seconds: z.coerce.number().int().min(1).max(86_400).optional(),
  'window-seconds': whole(60, 1, 86_400),
  amount: z.coerce.number().positive().optional(),
  'slice-ms': z.coerce.number().int().min(1).optional(),
  seed: whole(1, 0, 2_147_483_647),
  mix: z.enum(mixes).default('small'),
  'latency-ms': whole(40, 0, 600_000),
  concurrency: whole(64, 1, 10_000),
  queued: whole(20_000, 1, 1_000_000),
  name: z
    .string()
    .regex(/^[a-z0-9-]+$/)
    .optional(),
  ceilings: z.boolean().default(true),
  json: z.boolean().default(false),
});
type Flags = z.infer<typeof flagsSchema>;

function readFlags(): { scenario: (typeof scenarios)[number]; flags: Flags } {
  const text = { type: 'string' } as const;
  const yes = { type: 'boolean' } as const;
  const options = Object.fromEntries(
    Object.keys(flagsSchema.shape).map((name) => [name, name === 'ceilings' || name === 'json' ? yes : text]),
  );
  const { values, positionals } = parseArgs({ options, allowPositionals: true, allowNegative: true });
  return { scenario: z.enum(scenarios).parse(positionals[0]), flags: flagsSchema.parse(values) };
}

function planFlags(flags: Flags): PlanFlags {
  return {
    ...flags,
    windowSeconds: flags['window-seconds'],
    seconds: flags.seconds,
    amount: flags.amount,
    sliceMs: flags['slice-ms'],
    latencyMs: flags['latency-ms'],
  };
}

/** What happens in the middle of a run needs time before and after it. */
const planOf = (scenario: (typeof scenarios)[number], flags: Flags) =>
  planDrain(planFlags(flags), (eventNames as readonly string[]).includes(scenario) ? 2 : 1);

interface Outcome {
  measures: Record<string, unknown>;
  plots: PlotData[];
}

const ofDrain = ({ measures, extra, record }: DrainResult): Outcome => ({
  measures: { ...measures, ...extra },
  plots: drainPlots(record),
});

const startSluice = (parts: SystemParts) => SluiceSystem.start(parts);

async function runScenario(scenario: (typeof scenarios)[number], flags: Flags): Promise<Outcome> {
  const children = new Children();
  const plan = planOf(scenario, flags);
  if (scenario === 'noisy-neighbour') return noisyNeighbour(children, flags);
  if (scenario === 'drain') return ofDrain(await runDrain({ children, plan, start: startSluice }));
  if (scenario === 'baseline-bullmq')
    return ofDrain(await runDrain({ children, plan, start: (parts) => BullmqSystem.start(parts) }));
  if (scenario === 'baseline-retry-loop')
    return ofDrain(await runDrain({ children, plan, start: async (parts) => new RetryLoopSystem(parts) }));
  return eventOutcome(scenario, children, plan);
}

async function eventOutcome(name: EventName, children: Children, plan: DrainPlan): Promise<Outcome> {
  const { event, plan: changed } = eventScenario(name, plan);
  const accounted: typeof event = {
    ...event,
    measure: async (run, calls) => ({
      ...(await event.measure?.(run, calls)),
      ...(await settleAccounts(run)),
    }),
  };
  const result = await runDrain({ children, plan: changed, event: accounted, start: startSluice });
  const { measures, plots } = ofDrain(result);
  return { measures: { ...measures, holds: whatHolds(name, result.measures, result.extra) }, plots };
}

async function noisyNeighbour(children: Children, flags: Flags): Promise<Outcome> {
  const seconds = flags.seconds ?? flags['window-seconds'];
  const plan = planDrain({ ...planFlags(flags), seconds });
  const { measures, waits } = await runNoisyNeighbour(children, plan, flags.queued);
  const series = Object.entries(waits).map(([name, calls]) => ({
    name,
    points: calls.map(({ queueMs }, index): [number, number] => [index, queueMs]),
  }));
  const title = 'Queue wait of the light tenant, alone and beside its neighbour';
  return { measures, plots: [{ name: 'waits', title, yLabel: 'milliseconds', series }] };
}

function nameOf(scenario: string, flags: Flags): string {
  if (flags.name !== undefined) return flags.name;
  return [scenario, flags.shape, flags.dimension, flags.mix].join('-');
}

async function main(): Promise<void> {
  const { scenario, flags } = readFlags();
  const stop = (code: number, reason: string) => {
    console.error(reason);
    process.exit(code);
  };
  process.once('SIGINT', () => stop(130, 'Interrupted.'));
  process.once('SIGTERM', () => stop(143, 'Terminated.'));
  const phases = scenario === 'noisy-neighbour' ? 2 : 1;
  const limitMs = planOf(scenario, flags).seconds * 1_000 * phases + overheadMs;
  systemClock.after(limitMs, () => stop(1, `Not done after ${limitMs} ms.`));
  const { measures, plots } = await runScenario(scenario, flags);
  const { json, ...given } = flags;
  const result: RunResult = { scenario, name: nameOf(scenario, flags), flags: given, measures, plots };
  await saveResult(result);
  if (!json)
    console.log(`Saved as loadtest/results/raw/${result.name}.json; \`node loadtest/report.ts\` draws it.`);
  console.log(JSON.stringify({ scenario, ...given, ...measures }));
}

await main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof z.ZodError ? z.prettifyError(error) : error);
    process.exit(1);
  },
);
