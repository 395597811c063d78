import ipaddr from 'ipaddr.js';
import type { KeySettings } from '#config/customer-schema.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { matchesPattern } from './name-pattern.ts';

/** What one level of the hierarchy allows; what it does not name, it does not restrict. */
export type AccessRules = Partial<
  Pick<KeySettings, 'allowed_providers' | 'allowed_models' | 'allowed_routes' | 'allowed_ips'>
>;
type ProviderConfigs = NonNullable<KeySettings['provider_configs']>;
type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];

interface Place {
  provider: string;
  model: string;
}

/**
 * What a virtual key may call, and from where: its customer, its team and itself must all allow it. A named route that is
 * allowed does not allow what it leads to.
 */
export class KeyAccess {
  readonly #levels: readonly AccessRules[];
  readonly #configs: ProviderConfigs | undefined;
  readonly #ranges: Range[][];
  readonly #weighted: string[];
  readonly #credits = new Map<string, number>();
  /** Nothing is forbidden: calls need not be looked at. */
  readonly unrestricted: boolean;

  constructor(levels: readonly AccessRules[], configs?: ProviderConfigs) {
    const isRule = (rules: AccessRules) =>
      [rules.allowed_providers, rules.allowed_models, rules.allowed_routes, rules.allowed_ips].some(Boolean);
    this.#levels = levels.filter(isRule);
    this.#configs = configs && configs.length > 0 ? configs : undefined;
    this.#ranges = this.#levels.flatMap(({ allowed_ips }) => (allowed_ips ? [allowed_ips.map(rangeOf)] : []));
    this.#weighted = (this.#configs ?? []).filter(({ weight }) => weight > 0).map(({ provider }) => provider);
    this.unrestricted = this.#levels.length === 0 && this.#configs === undefined;
  }

  /** @throws SluiceError provider_blocked or model_blocked */
  refusePlace(place: Place): void {
    const verdict = this.#verdict(place);
    if (verdict === undefined) return;
    const { provider, model } = place;
    throw new SluiceError(verdict, { fields: { provider, model }, param: 'model' });
  }

  allowsPlace(place: Place): boolean {
    return this.#verdict(place) === undefined;
  }

  /** @throws SluiceError route_blocked */
  refuseRoute(route: string): void {
    if (!this.allowsRoute(route))
      throw new SluiceError('route_blocked', { fields: { route }, param: 'model' });
  }

  allowsRoute(route: string): boolean {
    return this.#levels.every((level) => level.allowed_routes?.includes(route) ?? true);
  }

  /** Whether calls may come from that address; what is no address comes from nowhere that is allowed. */
  allowsAddress(address: string): boolean {
    if (this.#ranges.length === 0) return true;
    if (!ipaddr.isValid(address)) return false;
    // An IPv4 address that came through an IPv6 socket is that IPv4 address.
    const parsed = ipaddr.process(address);
    return this.#ranges.every((ranges) => ranges.some((range) => isWithin(parsed, range)));
  }

  /** Providers that share the calls with a bare model name. */
  get weightedProviders(): readonly string[] {
    return this.#weighted;
  }

  /**
   * Whose turn it is among some of `weightedProviders`: each gets its share by weight, spread evenly over the calls
   * (smooth weighted round robin, as in nginx). Undefined when there are none.
   */
  nextProvider(candidates: readonly string[]): string | undefined {
    const weights = this.#configs?.filter(({ provider }) => candidates.includes(provider)) ?? [];
    let chosen: string | undefined;
    let total = 0;
    for (const { provider, weight } of weights) {
      total += weight;
      this.#credits.set(provider, (this.#credits.get(provider) ?? 0) + weight);
      if (chosen === undefined || this.#credits.get(provider)! > this.#credits.get(chosen)!)
        chosen = provider;
    }
    if (chosen !== undefined) this.#credits.set(chosen, this.#credits.get(chosen)! - total);
    return chosen;
  }

  #verdict(place: Place): 'provider_blocked' | 'model_blocked' | undefined {
    if (this.unrestricted) return undefined;
    const { provider } = place;
    const configs = this.#configs?.filter((each) => each.provider === provider);
    if (configs?.length === 0) return 'provider_blocked';
    if (!this.#levels.every((level) => level.allowed_providers?.includes(provider) ?? true))
      return 'provider_blocked';
    const ofConfigs = !configs || configs.some((each) => namesModel(each.allowed_models, place));
    const ofLevels = this.#levels.every((level) => namesModel(level.allowed_models, place));
    return ofConfigs && ofLevels ? undefined : 'model_blocked';
  }
}

/** For keys without any rule above or of their own. */
export const unrestrictedAccess = new KeyAccess([]);

function namesModel(patterns: readonly string[] | undefined, { provider, model }: Place): boolean {
  if (!patterns) return true;
  const qualified = `${provider}/${model}`;
  return patterns.some((pattern) => matchesPattern(pattern, model) || matchesPattern(pattern, qualified));
}

function rangeOf(text: string): Range {
  if (text.includes('/')) return ipaddr.parseCIDR(text);
  const address = ipaddr.parse(text);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

function isWithin(address: ipaddr.IPv4 | ipaddr.IPv6, range: Range): boolean {
  return address.kind() === range[0].kind() && address.match(range);
}
