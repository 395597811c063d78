import { LimitScope, type MeteredLimit } from './limit-scope.ts';
import { type LimitsConfig, type LimitsInput, limitsSchema, type ScopeConfig } from './limits-schema.ts';
import type { Demand } from './token-cost.ts';

/** Why a request was refused: the limit that keeps it waiting longest, as it stands after the refusal. */
export interface Refusal {
  limit: MeteredLimit;
  /** Infinity = it can never fit (oversize); NaN = nobody can tell (concurrency). */
  waitMs: number;
  requested: number;
}

/** A request that was let in. `finish` must be called exactly once. */
export interface Admission {
  produced(nowMs: number, outputTokens: number): void;
  finish(nowMs: number, outputTokens: number): void;
}

export type Decision =
  | { scopes: readonly LimitScope[]; admission: Admission; refusal?: undefined }
  | { scopes: readonly LimitScope[]; refusal: Refusal; admission?: undefined };

const freeAdmission: Admission = { produced: () => undefined, finish: () => undefined };
const maxKnownPairs = 10_000;

/** Every limit scope in force. Replacing the configuration starts all counters afresh. */
export class LimitBook {
  #config: LimitsConfig = { scopes: [] };
  #instances = new Map<string, LimitScope>();
  /** Scopes by credential and model, so that a request does not search. */
  #matching = new Map<string, readonly LimitScope[]>();

  constructor(config: LimitsInput = { scopes: [] }) {
    this.replace(config);
  }

  get config(): LimitsConfig {
    return this.#config;
  }

  /** Throws a ZodError when `config` is wrong, and then keeps what was in force. */
  replace(config: LimitsInput): void {
    this.#config = limitsSchema.parse(config);
    this.#instances = new Map();
    this.#matching = new Map();
  }

  /** Admits a request to every scope that matches it, or to none. */
  decide(nowMs: number, credential: string, model: string, demand: Demand): Decision {
    const scopes = this.#scopesFor(credential, model);
    if (scopes.length === 0) return { scopes, admission: freeAdmission };
    for (const scope of scopes) scope.catchUp(nowMs);
    const refusal = longestWait(nowMs, scopes, demand);
    if (!refusal) return { scopes, admission: admit(nowMs, scopes, demand) };
    const oversize = refusal.waitMs === Number.POSITIVE_INFINITY;
    for (const scope of scopes) scope.chargeRefused(nowMs, demand, oversize);
    // Asked again, because the refusal itself may have cost something and the wait is to be the true one.
    return { scopes, refusal: longestWait(nowMs, scopes, demand) ?? refusal };
  }

  #scopesFor(credential: string, model: string): readonly LimitScope[] {
    const pair = `${credential}\n${model}`;
    let scopes = this.#matching.get(pair);
    if (!scopes) {
      scopes = this.#config.scopes
        .filter((scope) => matchesCredential(scope, credential) && matchesModel(scope, model))
        .map((scope) => this.#instance(scope, credential, model));
      if (this.#matching.size >= maxKnownPairs) this.#matching.clear();
      this.#matching.set(pair, scopes);
    }
    return scopes;
  }

  #instance(config: ScopeConfig, credential: string, model: string): LimitScope {
    const owner = `${config.perCredential ? credential : '*'}\n${config.perModel ? model : '*'}`;
    const name = `${this.#config.scopes.indexOf(config)}\n${owner}`;
    let scope = this.#instances.get(name);
    if (!scope) {
      scope = new LimitScope(config);
      this.#instances.set(name, scope);
    }
    return scope;
  }
}

function matchesCredential(scope: ScopeConfig, credential: string): boolean {
  if (Array.isArray(scope.credential)) return scope.credential.includes(credential);
  return scope.credential === '*' || scope.credential === credential;
}

function matchesModel(scope: ScopeConfig, model: string): boolean {
  return scope.models.some((name) =>
    name.endsWith('*') ? model.startsWith(name.slice(0, -1)) : name === model,
  );
}

function longestWait(nowMs: number, scopes: readonly LimitScope[], demand: Demand): Refusal | undefined {
  let longest: Refusal | undefined;
  for (const scope of scopes) {
    for (const limit of scope.limits) {
      const requested = limit.rule.startCost(demand);
      // Output that is charged as it comes costs nothing yet, but a bucket in debt admits nobody.
      const waitMs = limit.meter.waitMs(nowMs, Math.max(1, requested));
      if (waitMs === 0) continue;
      if (!longest || waitMs > longest.waitMs || Number.isNaN(longest.waitMs)) {
        longest = { limit, waitMs, requested };
      }
    }
  }
  return longest;
}

function admit(nowMs: number, scopes: readonly LimitScope[], demand: Demand): Admission {
  const corrected: { limit: MeteredLimit; handle: number; charged: number }[] = [];
  const charging: MeteredLimit[] = [];
  for (const scope of scopes) {
    for (const limit of scope.limits) {
      const charged = limit.rule.startCost(demand);
      const handle = limit.meter.take(nowMs, charged);
      const releases = limit.config.dimension === 'concurrency' || limit.rule.endCost;
      if (releases) corrected.push({ limit, handle, charged });
      if (limit.rule.chargesOutput) charging.push(limit);
    }
  }
  if (corrected.length === 0 && charging.length === 0) return freeAdmission;
  return {
    produced(atMs, outputTokens) {
      for (const { meter } of charging) meter.take(atMs, outputTokens);
    },
    finish(atMs, outputTokens) {
      for (const { limit, handle, charged } of corrected) {
        const finalCost = limit.rule.endCost ? limit.rule.endCost(demand, outputTokens) : 0;
        limit.meter.adjust(atMs, handle, finalCost - charged);
      }
    },
  };
}
