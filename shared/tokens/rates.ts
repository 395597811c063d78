import type { ModelPrice, TieredPrices } from '@pydantic/genai-prices';
import type { ProviderSettings } from '#config/schema.ts';
import type { TokenEstimate, Usage } from '#shared/contracts/job.ts';

/** Pico-USD per token; a tier holds for the whole call once its input is above `above` tokens. */
interface Rate {
  base: number;
  tiers: readonly { above: number; rate: number }[];
}

/** What a model costs. */
export interface Rates {
  input: Rate;
  cachedInput: Rate;
  cacheWrite: Rate;
  cacheWriteLong: Rate;
  output: Rate;
  reasoning: Rate;
  /** Each call besides, pico-USD. */
  request: number;
}

const picoPerNano = 1_000;
/** One USD per million tokens is a million pico-USD per token. */
const picoPerToken = 1_000_000;
const picoPerUsd = 1_000_000_000_000;
const requestsPerPrice = 1_000;

const flat = (usdPerMillion: number): Rate => ({
  base: Math.round(usdPerMillion * picoPerToken),
  tiers: [],
});

function rateOf(price: number | TieredPrices): Rate {
  if (typeof price === 'number') return flat(price);
  const tiers = price.tiers.map((tier) => ({ above: tier.start, rate: flat(tier.price).base }));
  return { base: flat(price.base).base, tiers: tiers.sort((one, other) => one.above - other.above) };
}

/** Rates from the price library; undefined when the model is not priced by tokens or calls. */
export function ratesOfList(price: ModelPrice): Rates | undefined {
  const { input_mtok, output_mtok, requests_kcount: perThousand } = price;
  if (input_mtok === undefined && output_mtok === undefined && perThousand === undefined) return undefined;
  const input = rateOf(input_mtok ?? 0);
  const output = rateOf(output_mtok ?? 0);
  const or = (given: number | TieredPrices | undefined, otherwise: Rate) =>
    given === undefined ? otherwise : rateOf(given);
  const cacheWrite = or(price.cache_write_mtok, input);
  return {
    input,
    cachedInput: or(price.cache_read_mtok, input),
    cacheWrite,
    cacheWriteLong: or(price.cache_write_1h_mtok, cacheWrite),
    output,
    reasoning: or(price.output_reasoning_mtok, output),
    request: typeof perThousand === 'number' ? (perThousand / requestsPerPrice) * picoPerUsd : 0,
  };
}

/** Rates from the configuration. */
export function ratesOfSettings(price: ProviderSettings['prices'][string]): Rates {
  const input = flat(price.input);
  const output = flat(price.output);
  const cacheWrite = price.cache_write === undefined ? input : flat(price.cache_write);
  return {
    input,
    cachedInput: price.cached_input === undefined ? input : flat(price.cached_input),
    cacheWrite,
    cacheWriteLong: cacheWrite,
    output,
    reasoning: output,
    request: Math.round(price.request * picoPerUsd),
  };
}

function at({ base, tiers }: Rate, inputTokens: number): number {
  let rate = base;
  for (const tier of tiers) if (inputTokens > tier.above) rate = tier.rate;
  return rate;
}

/** Nano-USD of a call, to the nearest. Parts that a provider reports larger than their whole count as the whole. */
export function costOf(rates: Rates, usage: Usage): number {
  const total = usage.inputTokens;
  const cached = Math.min(usage.cachedInputTokens ?? 0, total);
  const written = Math.min(usage.cacheWriteTokens ?? 0, total - cached);
  const long = Math.min(usage.cacheWriteLongTokens ?? 0, written);
  const reasoning = Math.min(usage.reasoningTokens ?? 0, usage.outputTokens);
  const pico =
    rates.request +
    at(rates.input, total) * (total - cached - written) +
    at(rates.cachedInput, total) * cached +
    at(rates.cacheWrite, total) * (written - long) +
    at(rates.cacheWriteLong, total) * long +
    at(rates.output, total) * (usage.outputTokens - reasoning) +
    at(rates.reasoning, total) * reasoning;
  return Math.round(pico / picoPerNano);
}

/** Nano-USD that a call with no more tokens than this cannot exceed, whatever the cache does. */
export function worstCostOf(rates: Rates, { input, max, asked = max }: TokenEstimate): number {
  const dearest = (kinds: readonly Rate[]) =>
    Math.max(...kinds.flatMap((rate) => [rate.base, ...rate.tiers.map((tier) => tier.rate)]));
  const perInput = dearest([rates.input, rates.cachedInput, rates.cacheWrite, rates.cacheWriteLong]);
  const perOutput = dearest([rates.output, rates.reasoning]);
  return Math.ceil((rates.request + perInput * input + perOutput * asked) / picoPerNano);
}
