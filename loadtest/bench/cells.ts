import type { Visit } from './measure.ts';
import type { TargetName } from './options.ts';
import { median } from './percentile.ts';

/** All rounds of one target at one latency and concurrency, summed up. */
export interface Cell {
  target: TargetName;
  latencyMs: number;
  concurrency: number;
  calls: number;
  /** Medians over the rounds. */
  callsPerSecond: number;
  latencyMsP50: number;
  latencyMsP99: number;
  /** Medians of the differences of quantiles to `direct` in the same round; NaN without it. */
  addedMsP50: number;
  addedMsP99: number;
  /** CPU microseconds per call by process, all rounds together (a clock tick is 10 ms, too coarse for one round). */
  cpuUsPerCall: Record<string, number>;
  /** Of the target's own processes: without the generator and the simulator. */
  ownCpuUsPerCall: number;
  errors: Record<string, number>;
}

/** Names of the processes that are there for every target. */
export const sharedProcesses: readonly string[] = ['simulator', 'generator'];

export function summarise(visits: readonly Visit[]): Cell[] {
  const groups = Map.groupBy(visits, (visit) => `${visit.latencyMs} ${visit.concurrency} ${visit.target}`);
  const directs = new Map(
    visits.filter(({ target }) => target === 'direct').map((visit) => [placeOf(visit), visit]),
  );
  return [...groups.values()].map((rounds) => cellOf(rounds, directs));
}

const placeOf = ({ round, latencyMs, concurrency }: Visit) => `${round} ${latencyMs} ${concurrency}`;

function cellOf(rounds: readonly Visit[], directs: ReadonlyMap<string, Visit>): Cell {
  const { target, latencyMs, concurrency } = rounds[0]!;
  const over = (value: (visit: Visit) => number) => median(rounds.map(value));
  const added = (value: (visit: Visit) => number) =>
    over(
      (visit) =>
        value(visit) - (directs.has(placeOf(visit)) ? value(directs.get(placeOf(visit))!) : Number.NaN),
    );
  const cpuUsPerCall = pooledCpu(rounds);
  const own = Object.entries(cpuUsPerCall).filter(([name]) => !sharedProcesses.includes(name));
  return {
    target,
    latencyMs,
    concurrency,
    calls: rounds.reduce((sum, { calls }) => sum + calls, 0),
    callsPerSecond: over(({ calls, seconds }) => calls / seconds),
    latencyMsP50: over((visit) => visit.latencyMsP50),
    latencyMsP99: over((visit) => visit.latencyMsP99),
    addedMsP50: added((visit) => visit.latencyMsP50),
    addedMsP99: added((visit) => visit.latencyMsP99),
    cpuUsPerCall,
    ownCpuUsPerCall: own.reduce((sum, [, us]) => sum + us, 0),
    errors: addUp(rounds.map(({ errors }) => errors)),
  };
}

function pooledCpu(rounds: readonly Visit[]): Record<string, number> {
  const measured = rounds.filter(({ calls }) => calls > 0);
  const allCalls = measured.reduce((sum, { calls }) => sum + calls, 0);
  const totals = addUp(
    measured.map(({ cpuUsPerCall, calls }) =>
      Object.fromEntries(Object.entries(cpuUsPerCall).map(([name, us]) => [name, us * calls])),
    ),
  );
  return Object.fromEntries(Object.entries(totals).map(([name, us]) => [name, us / allCalls]));
}

function addUp(records: readonly Record<string, number>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const record of records) {
    for (const [name, value] of Object.entries(record)) sums[name] = (sums[name] ?? 0) + value;
  }
  return sums;
}
