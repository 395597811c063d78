import { earlyArrivals } from '../judge/waits.ts';
import { backlogOf, type DrainPlan, plannedCredential } from './drain-plan.ts';
import { type DrainEvent, weightsOf } from './run-drain.ts';
import type { SluiceSystem } from './sluice-system.ts';

export const eventNames = [
  'late-joiner',
  'idle-then-back',
  'weight-change',
  'worker-kill',
  'redis-restart',
  'credential-added',
  'credential-removed',
  'shared-key',
  'retry-after-storm',
] as const;
export type EventName = (typeof eventNames)[number];
export type ApplyMode = 'reload' | 'restart';

/** A drain with something that happens in the middle of it. */
export interface EventScenario {
  /** The plan, changed as the event needs it. */
  plan: DrainPlan;
  event: DrainEvent<SluiceSystem> | undefined;
}

const askedStatesMax = 500;
const killLatencyMs = 5_000;
const killConcurrency = 256;
const foreignShare = 0.4;
const stormRefusals = 20;
const stormRetryAfterMs = 3_000;
/** A request that was already on its way when the refusal was sent may still arrive. */
const stormGraceMs = 100;
const idleSeconds = 2;

const otherThan = (plan: DrainPlan, tenant: number): ReadonlyMap<string, number> =>
  new Map([...weightsOf(plan)].filter(([name]) => name !== plan.tenants[tenant]!.name));

/** The scenario of an event; `apply` says how a changed configuration reaches running workers. */
export function eventScenario(name: EventName, plan: DrainPlan, apply: ApplyMode): EventScenario {
  switch (name) {
    case 'late-joiner':
      return { plan, event: joining(0) };
    case 'idle-then-back':
      return { plan, event: joining(Math.ceil(plan.expectedRate * idleSeconds) + 1) };
    case 'weight-change':
      return { plan, event: weightChange(apply) };
    case 'worker-kill':
      return {
        plan: { ...plan, latencyMs: killLatencyMs, concurrency: killConcurrency },
        event: workerKill(),
      };
    case 'redis-restart':
      return { plan, event: redisRestart() };
    case 'credential-added':
      return { plan, event: credentials([1, 2], apply) };
    case 'credential-removed':
      return {
        plan: { ...plan, credentials: [plannedCredential(1), plannedCredential(2)] },
        event: credentials([1], apply),
      };
    case 'shared-key':
      return { plan: { ...plan, sharedUse: foreignShare }, event: undefined };
    case 'retry-after-storm':
      return { plan, event: retryAfterStorm() };
  }
}

/** The last tenant has `early` calls at the start, runs dry (or never began), and comes with a backlog at half time. */
function joining(early: number): DrainEvent<SluiceSystem> {
  const last = (plan: DrainPlan) => plan.tenants.length - 1;
  const weightPart = (plan: DrainPlan) => plan.tenants[last(plan)]!.weight / plan.tenants.length;
  return {
    at: 0.5,
    backlog: (plan, tenant) =>
      tenant === last(plan) ? Math.ceil(early * weightPart(plan)) : backlogOf(plan, plan.tenants[tenant]!),
    weights: (plan) => otherThan(plan, last(plan)),
    async happen({ plan, system }) {
      await system.submit(last(plan), backlogOf(plan, plan.tenants[last(plan)]!));
      return { weights: weightsOf(plan) };
    },
  };
}

/** The first tenant, of the least weight, gets the greatest. */
function weightChange(apply: ApplyMode): DrainEvent<SluiceSystem> {
  const changedWeight = 4;
  const changed = (plan: DrainPlan): DrainPlan => ({
    ...plan,
    tenants: plan.tenants.map((tenant, index) =>
      index === 0 ? { ...tenant, weight: changedWeight } : tenant,
    ),
  });
  return {
    at: 0.5,
    // Enough work for the greater weight from the start, because queued jobs are not to be touched.
    backlog: (plan, tenant) => backlogOf(changed(plan), changed(plan).tenants[tenant]!),
    async happen({ plan, system }) {
      await system.apply(changed(plan), apply);
      return { plan: changed(plan) };
    },
  };
}

function workerKill(): DrainEvent<SluiceSystem> {
  return {
    at: 0.5,
    async happen({ system }) {
      await system.product.killWorker();
      await system.product.addWorkers(1);
      return undefined;
    },
    async measure({ system }, calls) {
      const cutOff = [...new Set(calls.filter(({ aborted }) => aborted).map(({ job }) => job))];
      const states = await system.states(cutOff.slice(0, askedStatesMax));
      return { leasesCutOff: cutOff.length, statesOfCutOff: states, lost: lostOf(states) };
    },
  };
}

function redisRestart(): DrainEvent<SluiceSystem> {
  return {
    at: 0.5,
    async happen({ system }) {
      await system.redis.restart();
      return undefined;
    },
    async measure({ system, ledger }) {
      const jobs = [...ledger.accepted.keys()];
      const step = Math.max(1, Math.floor(jobs.length / askedStatesMax));
      const states = await system.states(jobs.filter((_, index) => index % step === 0));
      return { statesOfSample: states, lost: lostOf(states) };
    },
  };
}

/** Jobs that neither succeeded nor are still to come. */
function lostOf(states: Record<string, number>): number {
  const { succeeded = 0, queued = 0, running = 0, scheduled = 0 } = states;
  return (
    Object.values(states).reduce((sum, count) => sum + count, 0) - succeeded - queued - running - scheduled
  );
}

function credentials(numbers: readonly number[], apply: ApplyMode): DrainEvent<SluiceSystem> {
  const changed = (plan: DrainPlan): DrainPlan => ({ ...plan, credentials: numbers.map(plannedCredential) });
  return {
    at: 0.5,
    backlog: (plan, tenant) =>
      Math.max(
        backlogOf(plan, plan.tenants[tenant]!),
        backlogOf(changed(plan), changed(plan).tenants[tenant]!),
      ),
    async happen({ plan, system }) {
      await system.apply(changed(plan), apply);
      return { plan: changed(plan) };
    },
  };
}

/** The next requests are refused by the provider, each with a Retry-After. */
function retryAfterStorm(): DrainEvent<SluiceSystem> {
  return {
    at: 0.5,
    async happen({ provider }) {
      const retryAfter = String(stormRetryAfterMs / 1_000);
      await provider.fault(stormRefusals, { kind: 'quota', retryAfter });
      return undefined;
    },
    measure: async (_run, calls) => ({
      stormRefusals: calls.filter(({ fault }) => fault?.includes('retryAfter')).length,
      earlyArrivals: earlyArrivals(calls, stormRetryAfterMs, stormGraceMs),
    }),
  };
}
