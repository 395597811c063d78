import { ConcurrencyMeter } from './concurrency-meter.ts';
import { FixedMeter } from './fixed-meter.ts';
import { ForeignUse } from './foreign-use.ts';
import type { LimitConfig, ScopeConfig } from './limits-schema.ts';
import type { Meter } from './meter.ts';
import { RefillMeter } from './refill-meter.ts';
import { RollingMeter } from './rolling-meter.ts';
import { SliceMeter } from './slice-meter.ts';
import { type CostRule, costRule, type Demand } from './token-cost.ts';

/** One limit of a scope with its counter and its way of charging. */
export interface MeteredLimit {
  config: LimitConfig;
  scope: LimitScope;
  meter: Meter;
  rule: CostRule;
}

/** The counters that one set of credentials and models shares. */
export class LimitScope {
  readonly config: ScopeConfig;
  readonly limits: readonly MeteredLimit[];
  readonly #foreign: readonly ForeignUse[];

  constructor(config: ScopeConfig) {
    this.config = config;
    const limits = config.limits.map((limit) => ({
      config: limit,
      scope: this,
      meter: newMeter(limit, config.sharedUse),
      rule: costRule(limit.dimension, config),
    }));
    this.limits = limits;
    this.#foreign =
      config.sharedUse === 0
        ? []
        : limits
            .filter(hasWindow)
            .map(
              ({ meter, config: limit }) =>
                new ForeignUse(meter, { windowMs: recoveryMs(limit), share: config.sharedUse }),
            );
  }

  /** Lets the unseen other party use what it would have used by now; call it before asking any meter. */
  catchUp(nowMs: number): void {
    for (const foreign of this.#foreign) foreign.catchUp(nowMs);
  }

  /** Charges a request that was refused, as far as there is still something to take. */
  chargeRefused(nowMs: number, demand: Demand, oversize: boolean): void {
    if (!this.config.rejectedRequestsCount) return;
    for (const { config, meter, rule } of this.limits) {
      if (config.dimension === 'concurrency') continue;
      // A request that can never fit would otherwise empty the bucket for everybody else.
      if (oversize && config.dimension !== 'requests') continue;
      const taken = Math.min(rule.startCost(demand), meter.remaining(nowMs));
      if (taken > 0) meter.take(nowMs, taken);
    }
  }
}

function hasWindow({ config }: MeteredLimit): boolean {
  return config.dimension !== 'concurrency';
}

/** The time in which the whole capacity of a limit comes back. */
function recoveryMs(limit: LimitConfig): number {
  if (limit.shape === 'slices') return limit.sliceMs;
  return limit.shape === 'refill' ? limit.windowMs * limit.burstFraction : limit.windowMs;
}

function newMeter(limit: LimitConfig, sharedUse: number): Meter {
  if (limit.dimension === 'concurrency') {
    return new ConcurrencyMeter({ amount: Math.max(1, Math.floor(limit.amount * (1 - sharedUse))) });
  }
  switch (limit.shape) {
    case 'refill':
      return new RefillMeter(limit);
    case 'fixed':
      return new FixedMeter(limit);
    case 'slices':
      return new SliceMeter(limit);
    case 'rolling':
      return new RollingMeter(limit);
  }
}
