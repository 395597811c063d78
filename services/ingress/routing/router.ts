import { fallbackPreset, type RouteSettings, type Settings, type TargetSettings } from '#config/schema.ts';
import type { Endpoint } from '#shared/contracts/endpoint.ts';
import type { CallAxes, JobRoute, RouteTarget, TokenEstimate } from '#shared/contracts/job.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Random } from '#shared/kernel/random.ts';
import { isBudgeted } from '#shared/quotas/charges.ts';
import type { KeyAccess } from '#shared/tenants/key-access.ts';
import type { Prices } from '#shared/tokens/price.ts';
import type { ModelPlace, ModelTable } from '../model-table.ts';
import { placeCall } from '../place-call.ts';
import type { BudgetGauges } from './budget-gauges.ts';
import { ruleFacts } from './call-facts.ts';
import { Candidates } from './candidates.ts';
import type { CompiledRoute, CompiledRoutes, CompiledRule } from './compiled-routes.ts';
import { type Measures, orderTargets, uniformOf, type WeighedTarget } from './order-targets.ts';
import { noGauge, type PoolGauge, type PoolGauges } from './pool-gauges.ts';

/** A validated call that is to be given its place. */
export interface CallToRoute {
  endpoint: Endpoint;
  /** Model or route as the caller named it. */
  asked: string;
  body: Record<string, unknown>;
  /** Models that the caller itself named to fall back on. */
  fallbacks: readonly string[] | undefined;
  tenant: string;
  /** What its key may call. */
  access: KeyAccess;
  axes: CallAxes;
  metadata: Record<string, string>;
  /** Headers that rules may read. */
  headers: Record<string, string>;
  priority: number;
}

/** Where a call goes first, and where else. */
export interface CallPlan {
  place: ModelPlace;
  tokens: TokenEstimate;
  /** Parameters that the dialect there has no word for. */
  dropped?: string[];
  priority: number;
  /** Undefined for a plain model: it is served there or not at all. */
  route?: JobRoute;
  /** With the route, when one was asked for. */
  axes: CallAxes;
  /** Where a copy goes. */
  mirror?: RouteTarget;
}

export interface RouterParts {
  readonly settings: Settings;
  readonly models: ModelTable;
  readonly routes: CompiledRoutes;
  gauges: Pick<PoolGauges, 'gauge' | 'latencyMs' | 'takeProbe'>;
  budgets: Pick<BudgetGauges, 'usedPercent'>;
  prices: Pick<Prices, 'worstCase'>;
  clock: Clock;
  random: Random;
}

const asTarget = (model: string): TargetSettings => ({ model, weight: 1 });

/** Finds where a call may be run: the pool of its model, or the targets of a route in the order in which they are tried. */
export class Router {
  readonly #parts: RouterParts;

  constructor(parts: RouterParts) {
    this.#parts = parts;
  }

  /** How many models a call may name to fall back on. */
  get fallbacksMax(): number {
    return this.#parts.settings.routing.fallbacks_max;
  }

  /** The most output that the provider is asked for, for a call that names no maximum; undefined: nothing is asked. */
  outputCapOf(tenant: string, axes: CallAxes): number | undefined {
    const { customers, quotas } = this.#parts.settings;
    return isBudgeted(customers, tenant, axes) ? quotas.capped_output_tokens : undefined;
  }

  /** @throws SluiceError model_not_found, request_exceeds_ceiling, no_target, route_rejected, or what the key may not call */
  plan(call: CallToRoute): CallPlan {
    const { routes, models } = this.#parts;
    const route = routes.get(call.asked);
    if (route) return this.#planRoute(call, route);
    if (call.fallbacks) return this.#planFallbacks(call, call.fallbacks);
    return { ...placeCall(models, call.asked, call), priority: call.priority, axes: call.axes };
  }

  #planFallbacks(call: CallToRoute, fallbacks: readonly string[]): CallPlan {
    const candidates = new Candidates(this.#parts.models, call);
    const targets = candidates.usable([call.asked, ...fallbacks].map(asTarget));
    return planOf(call, call.priority, this.#serving(targets), candidates, { on: fallbackPreset });
  }

  #planRoute(call: CallToRoute, route: CompiledRoute): CallPlan {
    call.access.refuseRoute(route.name);
    const candidates = new Candidates(this.#parts.models, call);
    const rule = this.#decidingRule(call, route, candidates);
    if (rule?.reject !== undefined)
      throw new SluiceError('route_rejected', { fields: { route: route.name, reason: rule.reject } });
    const chosen = candidates.usable(rule?.targets ?? route.targets);
    const targets = [
      ...candidates.usable(this.#canaryOf(call, route)),
      ...orderTargets(route.strategy, chosen, seedOf(call, route), this.#measures(call)),
      ...candidates.usable(call.fallbacks?.map(asTarget) ?? route.fallbacks),
    ];
    const { on, wait_over_ms, timeout_ms, quality, retries } = route;
    const inOrder = this.#heldLast(call, on, this.#serving(targets));
    const placed = inOrder.map((each) =>
      retries === undefined ? each : { ...each, retries: each.retries ?? retries },
    );
    const plan = planOf(call, rule?.priority ?? call.priority, placed, candidates, {
      on,
      ...(wait_over_ms === undefined ? {} : { waitOverMs: wait_over_ms }),
      ...(timeout_ms === undefined ? {} : { timeoutMs: timeout_ms }),
      ...(quality ? { quality } : {}),
    });
    const [mirror] = candidates
      .usable(this.#mirrorOf(route))
      .filter((target) => !this.#parts.models.isDraining(target));
    return { ...plan, axes: { ...call.axes, route: route.name }, ...(mirror ? { mirror } : {}) };
  }

  #decidingRule(call: CallToRoute, route: CompiledRoute, candidates: Candidates): CompiledRule | undefined {
    if (route.rules.length === 0) return undefined;
    const [first] = candidates.usable(route.targets);
    const facts = ruleFacts(call, {
      nowMs: this.#parts.clock.nowMs(),
      inputTokens: first?.tokens.input ?? 0,
      gauge: first ? this.#gauge(call, first) : noGauge,
      budgetUsed: route.rules.some(({ rule }) => rule.asksBudget)
        ? this.#parts.budgets.usedPercent(call.tenant, call.axes)
        : 0,
    });
    return route.rules.find(({ rule }) => rule.holds(facts));
  }

  #canaryOf(call: CallToRoute, { name, canary }: CompiledRoute): TargetSettings[] {
    if (!canary) return [];
    const { sticky, model, percent } = canary;
    const who = sticky === 'none' ? undefined : stickyOf(call, sticky);
    const drawn = who === undefined ? this.#parts.random.next() : uniformOf(`canary ${name}\n${who}`);
    return drawn * 100 < percent ? [asTarget(model)] : [];
  }

  #mirrorOf({ mirror }: CompiledRoute): TargetSettings[] {
    return mirror && this.#parts.random.next() * 100 < mirror.percent ? [asTarget(mirror.model)] : [];
  }

  #gauge({ tenant }: CallToRoute, target: RouteTarget): PoolGauge {
    const pace = this.#parts.models.startsPerSecond(target, target.tokens);
    return this.#parts.gauges.gauge(target, tenant, pace, target.model);
  }

  /** Targets whose pools take new calls; where none does, it is for accept to refuse the call, or to find it there already. */
  #serving<T extends RouteTarget>(targets: readonly T[]): readonly T[] {
    const serving = targets.filter((target) => !this.#parts.models.isDraining(target));
    return serving.length > 0 ? serving : targets;
  }

  /** Targets whose pools take no call just now come last, as far as the route names the reason. */
  #heldLast(
    call: CallToRoute,
    on: RouteSettings['on'],
    targets: readonly WeighedTarget[],
  ): readonly WeighedTarget[] {
    const passes = { open: on.includes('breaker_open'), quota: on.includes('quota') };
    if (targets.length < 2 || !(passes.open || passes.quota)) return targets;
    const held = targets.filter((target, index) => {
      const { isOpen, isHeld } = this.#gauge(call, target);
      if (!isOpen) return passes.quota && isHeld;
      // Only a call that would have gone there anyway is a probe.
      return passes.open && !(index === 0 && this.#parts.gauges.takeProbe(target));
    });
    return [...targets.filter((target) => !held.includes(target)), ...held];
  }

  #measures(call: CallToRoute): Measures {
    const { gauges, prices, random, settings } = this.#parts;
    return {
      waitMs: (target) => this.#gauge(call, target).waitMs,
      cost: (target) => prices.worstCase(target, target.tokens),
      latencyMs: ({ provider, model }) => gauges.latencyMs(provider, model),
      random,
      exploreShare: settings.routing.explore_share,
    };
  }
}

/** Whose calls are kept together; calls without a user stay with their key. */
function stickyOf({ tenant, axes }: CallToRoute, by: 'user' | 'key' | 'tenant'): string {
  if (by === 'tenant') return tenant;
  return by === 'user' && axes.user !== undefined
    ? `${tenant} user ${axes.user}`
    : `${tenant} key ${axes.key}`;
}

function seedOf(call: CallToRoute, { name, sticky }: CompiledRoute): string | undefined {
  if (sticky === 'none') return undefined;
  return `${name}\n${sticky === 'request' ? JSON.stringify(call.body) : stickyOf(call, sticky)}`;
}

/** The first target that was found is where the call goes, the others are in its record. */
function planOf(
  { asked, axes }: CallToRoute,
  priority: number,
  targets: readonly RouteTarget[],
  candidates: Candidates,
  route: Omit<JobRoute, 'asked' | 'targets'>,
): CallPlan {
  const seen = new Set<string>();
  const distinct = targets.flatMap(({ provider, pool, model, tokens, retries }): RouteTarget[] => {
    const name = `${provider}/${model}`;
    if (seen.has(name)) return [];
    seen.add(name);
    return [{ provider, pool, model, tokens, ...(retries === undefined ? {} : { retries }) }];
  });
  const [first, ...others] = distinct;
  if (!first) throw candidates.refusal();
  return {
    place: first,
    tokens: first.tokens,
    priority,
    axes,
    route: { asked, targets: [first, ...others], ...route },
  };
}
