import type { JudgedCeiling } from '../judge/ceilings.ts';
import type { JudgedCall } from '../judge/judged-call.ts';
import type { LimitsInput } from '../simulator/limits/limits-schema.ts';
import type { DrainPlan } from './drain-plan.ts';

type LimitDimension = 'requests' | 'tokens' | 'input_tokens' | 'output_tokens';

interface CountedLimit {
  dimension: LimitDimension;
  amount: number;
}

function countedLimits(plan: DrainPlan): CountedLimit[] {
  switch (plan.dimension) {
    case 'rpm':
      return [{ dimension: 'requests', amount: plan.amount }];
    case 'tpm':
      return [{ dimension: 'tokens', amount: plan.amount }];
    case 'itpm-otpm':
      return [
        { dimension: 'input_tokens', amount: plan.amount },
        { dimension: 'output_tokens', amount: plan.outputAmount },
      ];
  }
}

/** The limits the simulator enforces for a plan, each credential having its own. */
export function simulatorLimits(plan: DrainPlan): LimitsInput {
  const windowMs = plan.windowSeconds * 1_000;
  const anthropic = plan.dimension === 'itpm-otpm';
  return {
    scopes: [
      {
        name: 'load',
        perCredential: true,
        tokenAccounting: anthropic ? 'actual' : 'input_plus_max_tokens',
        headerDialect: anthropic ? 'anthropic' : 'openai',
        sharedUse: plan.sharedUse,
        limits: countedLimits(plan).map(({ dimension, amount }) => ({
          dimension,
          amount,
          windowMs,
          shape: plan.shape,
          sliceMs: plan.sliceMs,
          allowPerSlice: Math.max(1, Math.floor((amount * plan.sliceMs) / windowMs)),
        })),
      },
    ],
  };
}

/** The same ceilings for the judge: what each call counts, and from when on. */
export function judgedCeilings(plan: DrainPlan): JudgedCeiling[] {
  return countedLimits(plan).map(({ dimension, amount }) => ({
    name: dimension,
    amount,
    ownShare: 1 - plan.sharedUse,
    charge: chargeOf[dimension],
  }));
}

const chargeOf: Record<LimitDimension, JudgedCeiling['charge']> = {
  requests: ({ atMs }) => ({ atMs, amount: 1 }),
  tokens: (call) => ({ atMs: call.atMs, amount: call.inputTokens + (call.maxTokens ?? 0) }),
  input_tokens: ({ atMs, inputTokens }) => ({ atMs, amount: inputTokens }),
  // Real output counts when it is produced: for an answer in one piece that is its end.
  output_tokens: (call: JudgedCall) => ({ atMs: call.finishedMs ?? call.atMs, amount: call.outputTokens }),
};
