import type { LimitConfig, ScopeConfig } from './limits-schema.ts';

/** What a request asks for, as far as limits are concerned. */
export interface Demand {
  inputTokens: number;
  /** Undefined when the request names no maximum. */
  maxTokens: number | undefined;
}

/** How one limit charges a request: when it starts, while it produces output, and when it ends. */
export interface CostRule {
  startCost(demand: Demand): number;
  /** Whether output is charged as it is produced. */
  chargesOutput: boolean;
  /** What the request costs in the end, or undefined when the charge at the start stands. */
  endCost: ((demand: Demand, outputTokens: number) => number) | undefined;
}

const fixedCost = (startCost: CostRule['startCost']): CostRule => ({
  startCost,
  chargesOutput: false,
  endCost: undefined,
});

/** The rule by which `scope` charges `dimension`. */
export function costRule(dimension: LimitConfig['dimension'], scope: ScopeConfig): CostRule {
  const reserved = (demand: Demand) => demand.maxTokens ?? scope.defaultMaxTokens;
  switch (dimension) {
    case 'requests':
    case 'concurrency':
      return fixedCost(() => 1);
    case 'input_tokens':
      return fixedCost((demand) => demand.inputTokens);
    case 'output_tokens':
      return scope.tokenAccounting === 'actual'
        ? { startCost: () => 0, chargesOutput: true, endCost: undefined }
        : fixedCost(reserved);
    case 'tokens':
      return tokenRule(scope, reserved);
  }
}

function tokenRule(scope: ScopeConfig, reserved: (demand: Demand) => number): CostRule {
  switch (scope.tokenAccounting) {
    case 'input_plus_max_tokens':
      return fixedCost((demand) => demand.inputTokens + reserved(demand));
    case 'max_of_both':
      return fixedCost((demand) => Math.max(demand.inputTokens, reserved(demand)));
    case 'input_only':
      return fixedCost((demand) => demand.inputTokens);
    case 'actual':
      return { startCost: (demand) => demand.inputTokens, chargesOutput: true, endCost: undefined };
    case 'bedrock':
      return {
        startCost: (demand) => demand.inputTokens + reserved(demand),
        chargesOutput: false,
        endCost: (demand, outputTokens) => demand.inputTokens + outputTokens * scope.burndown,
      };
  }
}
