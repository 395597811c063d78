import { systemClock } from '#shared/kernel/clock.ts';
import type { Children } from '../cluster/children.ts';
import { Provider } from '../cluster/provider.ts';
import { defaultCostWeights } from '../judge/fairness.ts';
import { type DrainMeasures, type DrainRecord, judgeDrain, type Phase } from '../judge/judge-drain.ts';
import type { JudgedCall } from '../judge/judged-call.ts';
import { readArrivals } from '../judge/read-arrivals.ts';
import { backlogOf, type DrainPlan, loggedAs } from './drain-plan.ts';
import { judgedCeilings, simulatorLimits } from './provider-limits.ts';
import { Ledger, type QueueSystem, type SystemParts } from './queue-system.ts';

const firstArrivalTimeoutMs = 60_000;
/** Longest wait at the end for calls that are in flight. */
const calmMs = 3_000;
/** After a change, measures start anew when it has had this long to take effect. */
const settleMs = 2_000;

/** What an event sees and may change while a drain runs. */
export interface DrainRun<S extends QueueSystem> {
  plan: DrainPlan;
  system: S;
  provider: Provider;
  ledger: Ledger;
}

/** What is different from now on; fields left out stay as they are. */
interface Change {
  weights?: ReadonlyMap<string, number>;
  plan?: DrainPlan;
}

/** Something that happens once in the middle of a drain. */
export interface DrainEvent<S extends QueueSystem> {
  /** Jobs of a tenant at the start. */
  backlog?(plan: DrainPlan, tenant: number): number;
  /** Weights of those that are compared until it happens. */
  weights?(plan: DrainPlan): ReadonlyMap<string, number>;
  /** When, as a part of the run. */
  at: number;
  /** Returns nothing when measures are to run through as if nothing had happened. */
  happen(run: DrainRun<S>): Promise<Change | undefined>;
  /** Measures of its own, taken before the system ends. */
  measure?(run: DrainRun<S>, calls: readonly JudgedCall[]): Promise<Record<string, unknown>>;
}

export interface DrainSetup<S extends QueueSystem> {
  children: Children;
  plan: DrainPlan;
  start: (parts: SystemParts) => Promise<S>;
  event?: DrainEvent<S> | undefined;
}

export interface DrainResult {
  measures: DrainMeasures;
  extra: Record<string, unknown>;
  record: DrainRecord;
}

export const weightsOf = (plan: DrainPlan): ReadonlyMap<string, number> =>
  new Map(plan.tenants.map(({ name, weight }) => [name, weight]));

/** preload → start the workers → let it run, with its event → read the arrival log → end everything → judge. */
export async function runDrain<S extends QueueSystem>(setup: DrainSetup<S>): Promise<DrainResult> {
  const { children, plan, event } = setup;
  const provider = await Provider.start(children, plan.seed);
  await provider.limit(simulatorLimits(plan));
  await provider.answerAfter(plan.latencyMs);
  const ledger = new Ledger();
  const system = await setup.start({ children, plan, provider, ledger });
  const run: DrainRun<S> = { plan, system, provider, ledger };
  await preload(run, event);
  await system.startWorkers();
  await provider.firstArrival(firstArrivalTimeoutMs);
  const phases = await letRun(run, event);
  await provider.calm(plan.latencyMs + calmMs);
  const calls = await readArrivals(provider.url, (job) => ledger.tenantOf(job));
  const extra = (await event?.measure?.(run, calls)) ?? {};
  await system.end();
  provider.child.signal('SIGTERM');
  await provider.child.ended;
  phases[0]!.span.fromMs = calls[0]?.atMs ?? phases[0]!.span.fromMs;
  const record: DrainRecord = {
    calls,
    acceptedMs: ledger.accepted,
    phases,
    ceilings: judgedCeilings(run.plan),
    windowMs: plan.windowSeconds * 1_000,
    aligned: plan.shape === 'fixed',
    cost: defaultCostWeights,
  };
  return { measures: judgeDrain(record), extra, record };
}

async function preload<S extends QueueSystem>(
  { plan, system }: DrainRun<S>,
  event: DrainEvent<S> | undefined,
): Promise<void> {
  const count = (tenant: number) => event?.backlog?.(plan, tenant) ?? backlogOf(plan, plan.tenants[tenant]!);
  await Promise.all(plan.tenants.map((_, tenant) => system.submit(tenant, count(tenant))));
}

/** Lets the drain run for its time and returns its phases; the first still starts now instead of at the first call. */
async function letRun<S extends QueueSystem>(
  run: DrainRun<S>,
  event: DrainEvent<S> | undefined,
): Promise<Phase[]> {
  const startMs = systemClock.nowMs();
  const runMs = run.plan.seconds * 1_000;
  let endMs = startMs + runMs;
  const sleepUntil = (atMs: number) => systemClock.sleep(Math.max(0, atMs - systemClock.nowMs()));
  const phases = [phaseOf(run.plan, startMs, event?.weights?.(run.plan))];
  if (event) {
    await sleepUntil(startMs + runMs * event.at);
    const atMs = systemClock.nowMs();
    const change = await event.happen(run);
    if (change) {
      phases[0]!.span.toMs = atMs;
      if (change.plan) phases[0]!.limitPart = run.plan.amount / change.plan.amount;
      run.plan = change.plan ?? run.plan;
      const settledMs = systemClock.nowMs() + settleMs;
      phases.push(phaseOf(run.plan, settledMs, change.weights));
      // However long the change took, what comes after it is watched for its full time.
      endMs = settledMs + runMs * (1 - event.at);
    }
  }
  await sleepUntil(endMs);
  phases.at(-1)!.span.toMs = systemClock.nowMs();
  return phases;
}

function phaseOf(plan: DrainPlan, fromMs: number, weights = weightsOf(plan)): Phase {
  return {
    span: { fromMs, toMs: Number.POSITIVE_INFINITY },
    weights,
    credentials: plan.credentials.map(loggedAs),
  };
}
