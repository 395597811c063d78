import type { Settings } from '#config/schema.ts';
import type { CallAxes } from '#shared/contracts/job.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { chargesOf, encodeCharges } from '#shared/quotas/charges.ts';
import { lookAtQuotas } from '#shared/quotas/look.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';

export interface BudgetGaugesOptions {
  readonly settings: Settings;
  redis: RedisConnection;
  clock: Clock;
  onError: (error: unknown) => void;
}

interface Reading {
  percent: number;
  askedAtMs: number;
}

/** Callers whose budgets are kept; beyond, the one that was read first is forgotten. */
const callersMax = 10_000;
const nothing = { input: 0, output: 0, isOpen: false, price: () => 0 };

/**
 * How far the budgets of callers are used, for rules that ask. No call waits for it: what is known is read again in the
 * background once it is older than `routing.gauge_ms`, and the first call of a caller finds nothing used.
 */
export class BudgetGauges {
  readonly #options: BudgetGaugesOptions;
  readonly #readings = new Map<string, Reading>();

  constructor(options: BudgetGaugesOptions) {
    this.#options = options;
  }

  /** Of the tightest budget of that caller, percent. */
  usedPercent(tenant: string, axes: CallAxes): number {
    const { clock, settings, onError } = this.#options;
    const caller = JSON.stringify([tenant, axes.key, axes.team, axes.user, axes.feature]);
    const known = this.#readings.get(caller);
    const nowMs = clock.monotonicMs();
    if (known && nowMs - known.askedAtMs < settings.routing.gauge_ms) return known.percent;
    const reading = { percent: known?.percent ?? 0, askedAtMs: nowMs };
    this.#readings.set(caller, reading);
    if (this.#readings.size > callersMax) this.#readings.delete(this.#readings.keys().next().value!);
    this.#read(tenant, axes).then((percent) => {
      reading.percent = percent;
    }, onError);
    return reading.percent;
  }

  async #read(tenant: string, axes: CallAxes): Promise<number> {
    const { settings, redis } = this.#options;
    const call = { axes, place: undefined, ...nothing };
    const charges = chargesOf(settings.customers, tenant, call);
    const budgets = charges.filter(({ limit }) => limit.dimension === 'nano_usd');
    const text = encodeCharges(budgets, settings.quotas);
    if (text === undefined) return 0;
    const counted = await lookAtQuotas(redis, tenant, text);
    return Math.max(...counted.map(({ used }, index) => (100 * used) / budgets[index]!.limit.limit));
  }
}
