import { systemClock } from '#shared/kernel/clock.ts';
import type { JudgedCall } from '../judge/judged-call.ts';
import { earlyArrivals } from '../judge/waits.ts';
import { backlogOf, type DrainPlan, loggedAs, plannedCredential } from './drain-plan.ts';
import { simulatorLimits } from './provider-limits.ts';
import { type DrainEvent, type DrainRun, weightsOf } from './run-drain.ts';
import type { SluiceSystem } from './sluice-system.ts';
import { adoptedAfterMs, rateReached } from './tier-change.ts';

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
  'tier-change',
] as const;
export type EventName = (typeof eventNames)[number];

/** A drain with something that happens in the middle of it. */
export interface EventScenario {
  /** The plan, changed as the event needs it. */
  plan: DrainPlan;
  event: DrainEvent<SluiceSystem>;
}

type Event = DrainEvent<SluiceSystem>;

/** Leases that the killed worker is to hold, with a margin for what ends meanwhile. */
const cutOffLeases = 400;
const killConcurrency = 512;
const foreignShare = 0.4;
const stormRefusals = 20;
const stormRetryAfterMs = 3_000;
/** A request that was already on its way when the refusal was sent may still arrive. */
const onTheWayMs = 100;
const idleSeconds = 2;
/** A changed file is in force everywhere after this long. */
const reloadMs = 2_000;
const tierFactor = 2;

const otherThan = (plan: DrainPlan, tenant: number): ReadonlyMap<string, number> =>
  new Map([...weightsOf(plan)].filter(([name]) => name !== plan.tenants[tenant]!.name));

/** The scenario of an event; a changed configuration reaches running processes by their file alone. */
export function eventScenario(name: EventName, plan: DrainPlan): EventScenario {
  switch (name) {
    case 'late-joiner':
      return { plan, event: joining(0) };
    case 'idle-then-back':
      return { plan, event: joining(Math.ceil(plan.expectedRate * idleSeconds) + 1) };
    case 'weight-change':
      return { plan, event: weightChange() };
    case 'worker-kill':
      return { plan: longCalls(plan), event: workerKill() };
    case 'redis-restart':
      return { plan, event: redisRestart() };
    case 'credential-added':
      return { plan, event: credentials([1, 2]) };
    case 'credential-removed':
      return {
        plan: { ...plan, credentials: [plannedCredential(1), plannedCredential(2)] },
        event: credentials([1]),
      };
    case 'shared-key':
      return { plan: { ...plan, sharedUse: foreignShare, auto: true }, event: nothing() };
    case 'retry-after-storm':
      return { plan, event: retryAfterStorm() };
    case 'tier-change':
      return { plan: lowerTier(plan), event: tierChange(plan) };
  }
}

const nothing = (): Event => ({ at: 0.5, happen: async () => undefined });

/** The last tenant has `early` calls at the start, runs dry (or never began), and comes with a backlog at half time. */
function joining(early: number): Event {
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
function weightChange(): Event {
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
      await system.apply(changed(plan));
      return { plan: changed(plan) };
    },
  };
}

/** Calls so long that each worker holds the leases that are to be cut off. */
function longCalls(plan: DrainPlan): DrainPlan {
  const seconds = (cutOffLeases * plan.workers) / plan.expectedRate;
  return { ...plan, latencyMs: Math.ceil(seconds * 1_000), concurrency: killConcurrency };
}

function workerKill(): Event {
  return {
    at: 0.5,
    async happen({ system }) {
      await system.product.killWorker();
      await system.product.addWorkers(1);
      return undefined;
    },
    measure: async (_run, calls) => ({
      leasesCutOff: new Set(calls.filter(({ aborted }) => aborted).map(({ job }) => job)).size,
    }),
  };
}

function redisRestart(): Event {
  return {
    at: 0.5,
    async happen({ system }) {
      await system.redis.restart();
      return undefined;
    },
  };
}

function credentials(numbers: readonly number[]): Event {
  const changed = (plan: DrainPlan): DrainPlan => ({ ...plan, credentials: numbers.map(plannedCredential) });
  let changedMs = 0;
  return {
    at: 0.5,
    backlog: (plan, tenant) =>
      Math.max(
        backlogOf(plan, plan.tenants[tenant]!),
        backlogOf(changed(plan), changed(plan).tenants[tenant]!),
      ),
    async happen({ plan, system }) {
      changedMs = systemClock.nowMs();
      await system.apply(changed(plan));
      return { plan: changed(plan) };
    },
    measure: async (_run, calls) => ({
      firstUseOfNewMs: firstUseMs(calls, changedMs),
      callsOnRemoved: callsOnOthers(calls, changedMs + reloadMs, numbers),
    }),
  };
}

/** How long after the change a credential was used that had not been used before; null for never. */
function firstUseMs(calls: readonly JudgedCall[], changedMs: number): number | null {
  const before = new Set(calls.filter(({ atMs }) => atMs < changedMs).map(({ credential }) => credential));
  const first = calls.find(({ atMs, credential }) => atMs >= changedMs && !before.has(credential));
  return first ? Math.round(first.atMs - changedMs) : null;
}

function callsOnOthers(calls: readonly JudgedCall[], fromMs: number, numbers: readonly number[]): number {
  const known = new Set(numbers.map((number) => loggedAs(plannedCredential(number))));
  return calls.filter(({ atMs, credential }) => atMs >= fromMs && !known.has(credential)).length;
}

/** The next requests are refused by the provider, each with a Retry-After. */
function retryAfterStorm(): Event {
  return {
    at: 0.5,
    async happen({ provider }) {
      const retryAfter = String(stormRetryAfterMs / 1_000);
      await provider.fault(stormRefusals, { kind: 'quota', retryAfter });
      return undefined;
    },
    measure: async (_run, calls) => ({
      stormRefusals: calls.filter(({ fault }) => fault?.includes('retryAfter')).length,
      earlyArrivals: earlyArrivals(calls, stormRetryAfterMs, onTheWayMs),
    }),
  };
}

const lowerTier = (plan: DrainPlan): DrainPlan => ({
  ...plan,
  amount: plan.amount / tierFactor,
  outputAmount: plan.outputAmount / tierFactor,
  auto: true,
});

/** The provider raises its limits and says so in its headers alone; the configuration stays as it was. */
function tierChange(higher: DrainPlan): Event {
  const raised: DrainPlan = { ...higher, auto: true };
  let changedMs = 0;
  return {
    at: 0.5,
    backlog: (plan, tenant) => backlogOf(raised, plan.tenants[tenant]!),
    async happen({ provider }: DrainRun<SluiceSystem>) {
      changedMs = systemClock.nowMs();
      await provider.limit(simulatorLimits(raised));
      await rateReached(provider, raised);
      return { plan: raised };
    },
    measure: async (_run, calls) => ({ adoptedAfterMs: adoptedAfterMs(calls, changedMs, raised) }),
  };
}
