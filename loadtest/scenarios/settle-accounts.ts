import { systemClock } from '#shared/kernel/clock.ts';
import { wasServed } from '../judge/judged-call.ts';
import { readArrivals } from '../judge/read-arrivals.ts';
import type { DrainRun } from './run-drain.ts';
import type { SluiceSystem } from './sluice-system.ts';

const pollMs = 250;
const patienceMs = 240_000;
const answerMs = 20;

/** What became of all jobs of a run. */
export interface Accounts extends Record<string, unknown> {
  accepted: number;
  /** Jobs by the state they ended in; states that are no end are those of jobs that were left after minutes. */
  states: Record<string, number>;
  /** Jobs that did not succeed. */
  lost: number;
  /** Jobs whose answer the provider made more than once; without answers that were cut off. */
  servedTwice: number;
}

/**
 * Lets the rest of the backlog run without limits, which running processes learn from their file, and counts what became
 * of every job that was accepted. What was measured before stays as it was.
 */
export async function settleAccounts({
  plan,
  system,
  provider,
  ledger,
}: DrainRun<SluiceSystem>): Promise<Accounts> {
  await provider.limit({ scopes: [] });
  await provider.answerAfter(answerMs);
  await system.apply({ ...plan, ceilings: false, auto: false });
  const giveUpMs = systemClock.monotonicMs() + patienceMs;
  while ((await system.unended()) > 0 && systemClock.monotonicMs() < giveUpMs)
    await systemClock.sleep(pollMs);
  const jobs = [...ledger.accepted.keys()];
  const states = await system.states(jobs);
  const served = (await readArrivals(provider.url, (job) => ledger.tenantOf(job))).filter(
    (call) => wasServed(call) && !call.aborted,
  );
  const times = Map.groupBy(served, ({ job }) => job);
  return {
    accepted: jobs.length,
    states,
    lost: jobs.length - (states.succeeded ?? 0),
    servedTwice: [...times.values()].filter((calls) => calls.length > 1).length,
  };
}
