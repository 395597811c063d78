import { createRequire } from 'node:module';
import type { ProviderSettings, Settings } from '#config/schema.ts';
import type { TokenEstimate, Usage } from '#shared/contracts/job.ts';
import type { Clock, Timer } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { Live } from '#shared/kernel/live-value.ts';
import { costOf, type Rates, ratesOfList, ratesOfSettings, worstCostOf } from './rates.ts';

/** Where a call is priced. */
export interface PricedPlace {
  provider: string;
  model: string;
}

/**
 * Nano-USD (1e-9 USD), as safe integers and not as BigInt: they are added up in Lua, whose numbers are the same doubles,
 * and travel as JSON. They are exact up to 9 million USD in one number. Lua writes numbers above 1e14 in exponential form
 * unless they are formatted with `%.0f`.
 */
export type NanoUsd = number;

const nanoPerUsd = 1e9;
export const usdOf = (nano: NanoUsd): number => nano / nanoPerUsd;

/** The same as decimal digits, exact, never in exponential form. */
export function usdText(nano: NanoUsd): string {
  const text = `${Math.floor(nano / nanoPerUsd)}.${String(nano % nanoPerUsd).padStart(9, '0')}`;
  return text.replace(/\.?0+$/, '');
}

type PriceList = typeof import('@pydantic/genai-prices');

/** Pause after the start of a process before the list is loaded. */
const warmAfterMs = 250;
/** Prices that hold from a date on or by the time of day are looked up again after this long. */
const freshMs = 60_000;
/** Models are named by callers; beyond this many the one that was looked up first is forgotten. */
const modelsMax = 1_000;

const require = createRequire(import.meta.url);
let loaded: PriceList | undefined;

/** The library holds all its prices in its code: 50 ms of work that a process should not spend on its start. */
const priceList = (): PriceList => (loaded ??= require('@pydantic/genai-prices') as PriceList);

interface Known {
  rates: Rates | undefined;
  untilMs: number;
}

/** What calls cost: by the configuration, then by the list of the price library, kept per model. */
export class Prices {
  readonly #live: Live<Pick<Settings, 'providers'>>;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();

  constructor(live: Live<Pick<Settings, 'providers'>>, clock: Clock) {
    this.#live = live;
    this.#clock = clock;
    live.subscribe(() => this.#known.clear());
  }

  /** Loads the price list when the process has started, and before a call has to wait for it. */
  warmUp(): Service {
    let timer: Timer | undefined;
    return {
      name: 'price list',
      start: async () => {
        timer = this.#clock.after(warmAfterMs, priceList);
      },
      stop: async () => timer?.cancel(),
    };
  }

  /** What a call has cost; undefined when its model has no known price. */
  priceOf(place: PricedPlace, usage: Usage): NanoUsd | undefined {
    const rates = this.#ratesOf(place);
    return rates && costOf(rates, usage);
  }

  /**
   * What a call may cost at most, for reserving: all of its input at the dearest rate, and the output it asked for. A call
   * that names no maximum is reckoned with the output its ceilings hold.
   */
  worstCase(place: PricedPlace, estimate: TokenEstimate): NanoUsd | undefined {
    const rates = this.#ratesOf(place);
    return rates && worstCostOf(rates, estimate);
  }

  #ratesOf({ provider, model }: PricedPlace): Rates | undefined {
    const name = `${provider}/${model}`;
    const known = this.#known.get(name);
    const nowMs = this.#clock.monotonicMs();
    if (known && nowMs < known.untilMs) return known.rates;
    const rates = this.#lookUp(provider, model);
    this.#known.delete(name);
    this.#known.set(name, { rates, untilMs: nowMs + freshMs });
    if (this.#known.size > modelsMax) this.#known.delete(this.#known.keys().next().value!);
    return rates;
  }

  #lookUp(provider: string, model: string): Rates | undefined {
    const settings = this.#live.current.providers[provider];
    if (!settings) return undefined;
    const own = ownPrice(settings, model);
    if (own) return ratesOfSettings(own);
    try {
      return listedRates(provider, settings, model, this.#clock.nowMs());
    } catch {
      // A price that the list words in a way it cannot read itself is none; an answer must not be lost over it.
      return undefined;
    }
  }
}

/** An exact name wins, then the longest prefix. */
function ownPrice({ prices }: ProviderSettings, model: string) {
  if (Object.hasOwn(prices, model)) return prices[model];
  const prefixes = Object.keys(prices).filter(
    (name) => name.endsWith('*') && model.startsWith(name.slice(0, -1)),
  );
  const longest = prefixes.sort((one, other) => other.length - one.length)[0];
  return longest === undefined ? undefined : prices[longest];
}

function listedRates(
  name: string,
  { price_list, base_url }: ProviderSettings,
  model: string,
  nowMs: number,
): Rates | undefined {
  if (price_list === 'none') return undefined;
  const { calcPrice, findProvider } = priceList();
  const listed =
    price_list === undefined
      ? (findProvider({ providerApiUrl: base_url }) ?? findProvider({ providerId: name }))
      : findProvider({ providerId: price_list });
  // The library sums up floats and takes a tenth of a millisecond for it; only its rates are taken, once.
  const priced = listed && calcPrice({}, model, { providerId: listed.id, timestamp: new Date(nowMs) });
  return priced ? ratesOfList(priced.model_price) : undefined;
}
