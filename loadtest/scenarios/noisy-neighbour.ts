import { systemClock } from '#shared/kernel/clock.ts';
import type { Children } from '../cluster/children.ts';
import { Provider } from '../cluster/provider.ts';
import { readArrivals } from '../judge/read-arrivals.ts';
import { percentile, servedAtMs } from '../judge/waits.ts';
import { type DrainPlan, plannedTenants } from './drain-plan.ts';
import { simulatorLimits } from './provider-limits.ts';
import { Ledger } from './queue-system.ts';
import { SluiceSystem } from './sluice-system.ts';
import { plannedCall } from './workload.ts';

const light = 0;
const neighbour = 1;
const callEveryMs = 1_000;
/** How long a light call may wait beyond the end of its phase before its wait is taken as it is then. */
const patienceMs = 5_000;

/** One call of the light tenant, as it saw it. */
interface LightCall {
  /** Undefined when no answer came in time. */
  job: string | undefined;
  sentMs: number;
  /** Wait by the answer's own header; the time waited so far when there was no answer. */
  queueMs: number;
}

export interface NoisyNeighbourResult {
  measures: Record<string, number | boolean | null>;
  waits: { alone: LightCall[]; beside: LightCall[] };
}

/**
 * A tenant with one small call a second, alone and then beside a neighbour with `queued` calls waiting, under the
 * same ceilings. The wait is what the answers say (`x-sluice-queue-ms`); beside it stands what the provider saw: the
 * time from sending a call to the arrival there that was served.
 */
export async function runNoisyNeighbour(
  children: Children,
  flagged: DrainPlan,
  queued: number,
): Promise<NoisyNeighbourResult> {
  const plan = { ...flagged, tenants: plannedTenants(2).map((tenant) => ({ ...tenant, weight: 1 })) };
  const provider = await Provider.start(children, plan.seed);
  await provider.limit(simulatorLimits(plan));
  await provider.answerAfter(plan.latencyMs);
  const system = await SluiceSystem.start({ children, plan, provider, ledger: new Ledger() });
  await system.startWorkers();
  const alone = await lightPhase(system.product.url, plan, 0);
  await system.submit(neighbour, queued);
  const beside = await lightPhase(system.product.url, plan, alone.length);
  const arrivals = await readArrivals(provider.url, () => undefined);
  await system.end();
  provider.child.signal('SIGTERM');
  await provider.child.ended;
  const quota429 = arrivals.filter(({ refused }) => refused).length;
  return {
    measures: { ...compare(plan, alone, beside, servedAtMs(arrivals)), queued, quota429 },
    waits: { alone, beside },
  };
}

function compare(
  plan: DrainPlan,
  alone: readonly LightCall[],
  beside: readonly LightCall[],
  servedMs: ReadonlyMap<string, number>,
) {
  const at = (calls: readonly LightCall[], rank: number) =>
    percentile(
      calls.map(({ queueMs }) => queueMs),
      rank,
    );
  const seenAt = (calls: readonly LightCall[], rank: number) =>
    percentile(
      // A call that the provider never served has waited at least as long as its caller did.
      calls.map(({ job, sentMs, queueMs }) => {
        const atMs = servedMs.get(job ?? '');
        return atMs === undefined ? queueMs : atMs - sentMs;
      }),
      rank,
    );
  const dispatchIntervalMs = 1_000 / plan.expectedRate;
  const lightP99Ms = at(beside, 99);
  const aloneP99Ms = at(alone, 99);
  const arrivalLightP99Ms = seenAt(beside, 99);
  const arrivalAloneP99Ms = seenAt(alone, 99);
  const within = (light: number | null, aloneMs: number | null) =>
    light !== null && aloneMs !== null && light <= 2 * aloneMs + dispatchIntervalMs;
  return {
    lightP50Ms: at(beside, 50),
    lightP99Ms,
    aloneP50Ms: at(alone, 50),
    aloneP99Ms,
    dispatchIntervalMs,
    arrivalLightP99Ms,
    arrivalAloneP99Ms,
    // What the answers say must be true at the provider as well.
    holds: within(lightP99Ms, aloneP99Ms) && within(arrivalLightP99Ms, arrivalAloneP99Ms),
    lightCalls: beside.length,
    lightUnanswered: beside.filter(({ job }) => job === undefined).length,
    aloneUnanswered: alone.filter(({ job }) => job === undefined).length,
  };
}

/** A call a second for `plan.seconds`, each on its own, however long the others take. */
async function lightPhase(url: string, plan: DrainPlan, firstIndex: number): Promise<LightCall[]> {
  const endMs = systemClock.monotonicMs() + plan.seconds * 1_000;
  const giveUp = new AbortController();
  const timer = systemClock.after(plan.seconds * 1_000 + patienceMs, () => giveUp.abort());
  const calls: Promise<LightCall>[] = [];
  while (systemClock.monotonicMs() < endMs) {
    calls.push(callOnce(url, plan, firstIndex + calls.length, giveUp.signal));
    await systemClock.sleep(callEveryMs);
  }
  const all = await Promise.all(calls);
  timer.cancel();
  return all;
}

async function callOnce(
  url: string,
  plan: DrainPlan,
  index: number,
  signal: AbortSignal,
): Promise<LightCall> {
  const { endpoint, body } = plannedCall({ ...plan, mix: 'small' }, light, index);
  const sentMs = systemClock.nowMs();
  const unanswered = () => ({ job: undefined, sentMs, queueMs: systemClock.nowMs() - sentMs });
  try {
    const response = await fetch(`${url}${endpoint}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${plan.tenants[light]!.key}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
      signal,
    });
    await response.arrayBuffer();
    const job = response.headers.get('x-sluice-job-id');
    if (!response.ok || job === null) return unanswered();
    return { job, sentMs, queueMs: Number(response.headers.get('x-sluice-queue-ms')) };
  } catch {
    return unanswered();
  }
}
