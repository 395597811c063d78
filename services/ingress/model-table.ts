import type { ProviderSettings, Settings } from '#config/schema.ts';
import {
  canAnswer,
  type Dialect,
  type Endpoint,
  endpointDialect,
  generates,
  onlyCounts,
  providerDialect,
} from '#shared/contracts/endpoint.ts';
import type { TokenEstimate } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { type CompiledPool, compilePool } from '#shared/queue/fair/pool-config.ts';
import { exceedsEveryCeiling, startsPerSecond } from '#shared/queue/fair/publish-pool.ts';
import { poolIds } from '#shared/queue/pool-ids.ts';
import type { PoolId } from '#shared/queue/pool-queue.ts';
import { poolSettingsOf } from '#shared/queue/pool-settings.ts';
import { estimateTokens } from '#shared/tokens/estimate-tokens.ts';
import type { Learned } from '#shared/tokens/learned.ts';

/** Where a model is served. */
export interface ModelPlace {
  provider: string;
  pool: string;
  /** Model name as the provider knows it. */
  model: string;
}

/** What earlier calls of a tenant to a model taught. */
export type LearnedOf = (tenant: string, provider: string, model: string) => Learned;

interface Served extends ModelPlace {
  dialect: Dialect;
}

/**
 * Finds the pool of a model. Names: `provider/model` or the bare model. Exact names win over `prefix*` patterns,
 * longer prefixes over shorter ones. A provider of the caller's dialect goes before one that needs a translation
 * (`canAnswer` says which there are). Providers without credentials serve nothing.
 */
export class ModelTable {
  /** By `provider/model`, and by the bare model: the first provider that names it goes first. */
  readonly #exact = new Map<string, Served>();
  readonly #bare = new Map<string, Served[]>();
  readonly #patterns: (Served & { prefix: string })[] = [];

  readonly #providers: Settings['providers'];
  readonly #learned: LearnedOf;
  readonly #ceilings = new Map<string, CompiledPool>();

  constructor(providers: Settings['providers'], learned: LearnedOf) {
    this.#providers = providers;
    this.#learned = learned;
    for (const id of poolIds({ providers })) {
      this.#ceilings.set(`${id.provider}/${id.pool}`, compilePool(poolSettingsOf({ providers }, id)));
    }
    for (const [provider, settings] of Object.entries(providers)) {
      if (settings.credentials.length > 0) this.#add(provider, settings);
    }
    this.#patterns.sort((left, right) => right.prefix.length - left.prefix.length);
  }

  #add(provider: string, { dialect: kind, pools }: ProviderSettings): void {
    const dialect = providerDialect[kind];
    for (const [pool, { models }] of Object.entries(pools)) {
      for (const model of models) {
        if (model.endsWith('*'))
          this.#patterns.push({ provider, pool, model, dialect, prefix: model.slice(0, -1) });
        else this.#addExact({ provider, pool, model, dialect });
      }
    }
  }

  #addExact(served: Served): void {
    const { provider, model } = served;
    this.#exact.set(`${provider}/${model}`, served);
    this.#bare.set(model, [...(this.#bare.get(model) ?? []), served]);
  }

  /** @throws SluiceError model_not_found */
  resolve(name: string, endpoint: Endpoint): ModelPlace {
    const place = this.#find(name, endpoint, undefined) ?? this.#findQualified(name, endpoint);
    if (!place)
      throw new SluiceError('model_not_found', { fields: { model: name, endpoint }, param: 'model' });
    return place;
  }

  #findQualified(name: string, endpoint: Endpoint): ModelPlace | undefined {
    const slash = name.indexOf('/');
    return slash > 0 ? this.#find(name.slice(slash + 1), endpoint, name.slice(0, slash)) : undefined;
  }

  #find(model: string, endpoint: Endpoint, provider: string | undefined): ModelPlace | undefined {
    const named = provider === undefined ? this.#bare.get(model) : this.#exact.get(`${provider}/${model}`);
    const exact = firstFor(endpoint, named === undefined ? [] : [named].flat());
    if (exact) return exact;
    const patterns = this.#patterns.filter(
      (each) => (provider === undefined || each.provider === provider) && model.startsWith(each.prefix),
    );
    const pattern = firstFor(endpoint, patterns);
    return pattern && { provider: pattern.provider, pool: pattern.pool, model };
  }

  /**
   * The tokens a tenant's call is reckoned with in its pool.
   *
   * @throws SluiceError request_exceeds_ceiling for what could never be sent, however long it waits
   */
  reckon(
    { provider, pool, model }: ModelPlace,
    body: Record<string, unknown>,
    tenant: string,
    endpoint: Endpoint,
  ): TokenEstimate {
    if (onlyCounts(endpoint)) return noTokens;
    const { token_accounting, max_tokens_default } = this.#providers[provider]!.pools[pool]!;
    const produces = token_accounting === 'input_plus_output_actual' ? 'real' : 'asked';
    const counts = generates(endpoint) ? produces : 'none';
    const learned = this.#learned(tenant, provider, model);
    const tokens = estimateTokens(body, { counts, maxDefault: max_tokens_default }, learned);
    if (!exceedsEveryCeiling(this.#ceilings.get(`${provider}/${pool}`)!, tokens)) return tokens;
    const fields = { tokens: tokens.input + tokens.max, pool: `${provider}/${pool}` };
    throw new SluiceError('request_exceeds_ceiling', { fields });
  }

  /** Calls like this one that the ceilings of its pool admit per second; 0 when there are none. */
  startsPerSecond({ provider, pool }: PoolId, tokens: TokenEstimate): number {
    const compiled = this.#ceilings.get(`${provider}/${pool}`);
    return compiled ? startsPerSecond(compiled, tokens) : 0;
  }

  /** All models that have an exact name, in the order of the configuration. */
  list(): (ModelPlace & { dialect: Dialect })[] {
    return [...this.#exact.values()];
  }
}

const noTokens: TokenEstimate = { input: 0, output: 0, max: 0, linear: 0 };

/** The first place that speaks the caller's dialect, else the first that can be asked in its stead. */
function firstFor<Place extends Served>(endpoint: Endpoint, places: readonly Place[]): Place | undefined {
  const own = places.find(({ dialect }) => dialect === endpointDialect[endpoint]);
  return own ?? places.find(({ dialect }) => canAnswer(endpoint, dialect));
}
