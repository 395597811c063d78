import type { Charge, JudgedCall, Span } from './judged-call.ts';

/** One ceiling of one credential as the provider enforces it, in the amounts that the provider counts. */
export interface JudgedCeiling {
  name: string;
  amount: number;
  /** The part of `amount` that is ours; less than all of it when somebody else uses the same key. */
  ownShare: number;
  charge(call: JudgedCall): Charge;
}

export interface CeilingUse {
  name: string;
  /** Admitted amount over what the ceiling allows, in whole windows; null when no whole window was seen. */
  used: number | null;
  /** Fullest rolling window of everything that arrived, over the ceiling, minus 1. */
  overshoot: number;
  fullest: number;
  /** When the fullest window ended, seconds after the start of the first phase. */
  fullestAtSeconds: number;
  amount: number;
  windows: number;
}

interface FullestWindow {
  amount: number;
  endMs: number;
}

/** The largest sum of charges in any window [t, t + windowMs), by two pointers. */
export function fullestWindow(charges: readonly Charge[], windowMs: number): FullestWindow {
  const sorted = charges.toSorted((a, b) => a.atMs - b.atMs);
  const fullest: FullestWindow = { amount: 0, endMs: 0 };
  let sum = 0;
  let oldest = 0;
  for (const { atMs, amount } of sorted) {
    while (sorted[oldest]!.atMs <= atMs - windowMs) sum -= sorted[oldest++]!.amount;
    sum += amount;
    if (sum <= fullest.amount) continue;
    fullest.amount = sum;
    fullest.endMs = atMs;
  }
  return fullest;
}

/**
 * The whole windows of a span, without the first, which starts empty. With `aligned` they are those of the wall
 * clock, as a provider with fixed windows counts; else they follow one another from the start of the span.
 */
export function wholeWindows(span: Span, windowMs: number, aligned: boolean): Span & { count: number } {
  const startMs = aligned ? Math.ceil(span.fromMs / windowMs) * windowMs : span.fromMs + windowMs;
  const count = Math.max(0, Math.floor((span.toMs - startMs) / windowMs));
  return { fromMs: startMs, toMs: startMs + count * windowMs, count };
}

export function sumWithin(charges: readonly Charge[], span: Span): number {
  let sum = 0;
  for (const { atMs, amount } of charges) if (atMs >= span.fromMs && atMs < span.toMs) sum += amount;
  return sum;
}

export interface JudgedPhase {
  span: Span;
  credentials: readonly string[];
  /** The provider's limits in this phase, as a part of `amount`; 1 unless they changed. */
  limitPart?: number;
}

export interface CeilingQuestion {
  calls: readonly JudgedCall[];
  /** Times in which limits and credentials stayed the same, each with its credentials (as the log names them). */
  phases: readonly JudgedPhase[];
  windowMs: number;
  aligned: boolean;
}

/** How one ceiling was used over all credentials, and the worst overshoot of any of them. */
export function judgeCeiling(ceiling: JudgedCeiling, question: CeilingQuestion): CeilingUse {
  const { calls, phases, windowMs, aligned } = question;
  let admitted = 0;
  let allowed = 0;
  let windows = 0;
  for (const { span, credentials, limitPart = 1 } of phases) {
    const whole = wholeWindows(span, windowMs, aligned);
    const own = calls.filter((call) => !call.refused && credentials.includes(call.credential));
    admitted += sumWithin(
      own.map((call) => ceiling.charge(call)),
      whole,
    );
    allowed += ceiling.amount * limitPart * ceiling.ownShare * credentials.length * whole.count;
    windows += whole.count;
  }
  const fullest = fullestOf(ceiling, question);
  return {
    name: ceiling.name,
    used: allowed === 0 ? null : admitted / allowed,
    overshoot: fullest.amount / ceiling.amount - 1,
    fullest: fullest.amount,
    fullestAtSeconds: Math.round((fullest.endMs - phases[0]!.span.fromMs) / 100) / 10,
    amount: ceiling.amount,
    windows,
  };
}

/** The fullest window of any credential; where limits changed, of any phase, in parts of its own limit. */
function fullestOf(ceiling: JudgedCeiling, { calls, phases, windowMs }: CeilingQuestion): FullestWindow {
  const parts = phases.some(({ limitPart = 1 }) => limitPart !== 1)
    ? phases.map(({ span, limitPart = 1 }) => ({ span, limitPart }))
    : [{ span: { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY }, limitPart: 1 }];
  const perPart = parts.flatMap(({ span, limitPart }) => {
    const seen = calls.filter(({ atMs }) => atMs >= span.fromMs && atMs < span.toMs);
    const charges = [...Map.groupBy(seen, (call) => call.credential).values()].map((own) =>
      own.map((call) => ceiling.charge(call)),
    );
    return charges.map((own) => {
      const { amount, endMs } = fullestWindow(own, windowMs);
      return { amount: amount / limitPart, endMs };
    });
  });
  return perPart.reduce((most, each) => (each.amount > most.amount ? each : most), { amount: 0, endMs: 0 });
}
