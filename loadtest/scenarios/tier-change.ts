import { systemClock } from '#shared/kernel/clock.ts';
import type { Provider } from '../cluster/provider.ts';
import type { JudgedCall } from '../judge/judged-call.ts';
import type { DrainPlan } from './drain-plan.ts';

/** A limit is adopted when so long a span is used as far as this. */
const spanMs = 2_000;
const adoptedPart = 0.9;
const patienceMs = 60_000;

/** Resolves when calls arrive at the rate of the plan, or after a minute. */
export async function rateReached(provider: Provider, { expectedRate }: DrainPlan): Promise<void> {
  const giveUpMs = systemClock.monotonicMs() + patienceMs;
  let before = await provider.total();
  while (systemClock.monotonicMs() < giveUpMs) {
    const fromMs = systemClock.monotonicMs();
    await systemClock.sleep(spanMs);
    const total = await provider.total();
    const perSecond = (1_000 * (total - before)) / (systemClock.monotonicMs() - fromMs);
    if (perSecond >= expectedRate * adoptedPart) return;
    before = total;
  }
}

/** After how long the admitted rate was that of the plan for the first time; null for never. */
export function adoptedAfterMs(
  calls: readonly JudgedCall[],
  changedMs: number,
  { expectedRate }: DrainPlan,
): number | null {
  const admitted = calls.filter(({ refused, atMs }) => !refused && atMs >= changedMs).map(({ atMs }) => atMs);
  const wanted = Math.ceil((expectedRate * adoptedPart * spanMs) / 1_000);
  const times = admitted.toSorted((a, b) => a - b);
  for (let last = wanted - 1; last < times.length; last++) {
    const fromMs = times[last - wanted + 1]!;
    if (times[last]! - fromMs <= spanMs) return Math.round(fromMs - changedMs);
  }
  return null;
}
