import type { ProviderSettings, Settings } from '#config/schema.ts';
import {
  type Dialect,
  type Endpoint,
  endpointDialect,
  generates,
  isTranslated,
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

/** A place, and how its provider is spoken to. */
export interface ServedModel extends ModelPlace {
  dialect: Dialect;
}

/** Whether a place can serve a call. */
type Fits = (place: ServedModel) => boolean;

/**
 * Finds the pool of a model. Names: `provider/model` or the bare model. Exact names win over `prefix*` patterns, longer
 * prefixes over shorter ones, and providers of the caller's own dialect over those that need a translation. Providers
 * without credentials serve nothing.
 */
export class ModelTable {
  readonly #exact = new Map<string, ServedModel>();
  readonly #bare = new Map<string, ServedModel[]>();
  readonly #patterns: (ServedModel & { prefix: string })[] = [];

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

  /** Where several providers name a model, the others are reached as `provider/model`. */
  #addExact(served: ServedModel): void {
    const { provider, model } = served;
    this.#exact.set(`${provider}/${model}`, served);
    const others = this.#bare.get(model);
    if (others) others.push(served);
    else this.#bare.set(model, [served]);
  }

  /** @throws SluiceError model_not_found, endpoint_not_served */
  resolve(name: string, endpoint: Endpoint): ServedModel {
    const native: Fits = ({ dialect }) => dialect === endpointDialect[endpoint];
    const foreign: Fits = ({ dialect }) => isTranslated(endpoint, dialect);
    const place =
      this.#findExact(name, native) ??
      this.#findExact(name, foreign) ??
      this.#findPattern(name, native) ??
      this.#findPattern(name, foreign);
    if (!place) throw this.#notServed(name, endpoint);
    return place;
  }

  #notServed(model: string, endpoint: Endpoint): SluiceError {
    const [other] = this.placesOf(model);
    if (!other) return new SluiceError('model_not_found', { fields: { model, endpoint }, param: 'model' });
    const fields = { model, endpoint, dialect: other.dialect };
    return new SluiceError('endpoint_not_served', { fields, param: 'model' });
  }

  /** Where a model is served, for whichever endpoint. */
  placesOf(name: string): ServedModel[] {
    const exact = this.#bare.get(name) ?? this.#exact.get(name) ?? [];
    const pattern = this.#findPattern(name, () => true) ?? [];
    return [exact, pattern].flat();
  }

  /** The pools in which a model is served, for whichever endpoint. */
  poolsOf(name: string): PoolId[] {
    const places = this.placesOf(name);
    return [...new Map(places.map((place) => [`${place.provider}/${place.pool}`, place])).values()];
  }

  /** A bare name belongs to the first provider that names it. */
  #findExact(name: string, fits: Fits): ServedModel | undefined {
    const bare = this.#bare.get(name)?.find(fits);
    if (bare) return bare;
    const qualified = this.#exact.get(name);
    return qualified && fits(qualified) ? qualified : undefined;
  }

  #findPattern(name: string, fits: Fits): ServedModel | undefined {
    const bare = this.#match(name, fits);
    const slash = name.indexOf('/');
    if (bare || slash <= 0) return bare;
    const provider = name.slice(0, slash);
    return this.#match(name.slice(slash + 1), (place) => place.provider === provider && fits(place));
  }

  #match(model: string, fits: Fits): ServedModel | undefined {
    const pattern = this.#patterns.find((each) => model.startsWith(each.prefix) && fits(each));
    if (!pattern) return undefined;
    const { provider, pool, dialect } = pattern;
    return { provider, pool, dialect, model };
  }

  /** Whether its pool takes no new calls at present. */
  isDraining({ provider, pool }: PoolId): boolean {
    return this.#providers[provider]?.pools[pool]?.mode === 'draining';
  }

  /** Output tokens asked for on behalf of a translated call that names no maximum. */
  maxTokensTranslated({ provider, pool }: PoolId): number {
    return this.#providers[provider]!.pools[pool]!.max_tokens_translated;
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
  list(): ServedModel[] {
    return [...this.#exact.values()];
  }
}

const noTokens: TokenEstimate = { input: 0, output: 0, max: 0, linear: 0 };
