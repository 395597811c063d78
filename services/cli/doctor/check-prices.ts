import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { Prices } from '#shared/tokens/price.ts';
import { type Check, ok, warn } from './check.ts';

const name = 'prices';
const shownMax = 5;
const nothing = { inputTokens: 0, outputTokens: 0 };

/** Whether it is known what each model costs that the configuration names: without, its calls count as free. */
export function checkPrices(settings: Settings, clock: Clock): Check {
  const prices = new Prices(new LiveValue(settings), clock);
  const places = Object.entries(settings.providers).flatMap(([provider, { pools }]) =>
    Object.values(pools).flatMap(({ models }) => models.map((model) => ({ provider, model }))),
  );
  const named = places.filter(({ model }) => !model.endsWith('*'));
  const unpriced = named.filter((place) => prices.priceOf(place, nothing) === undefined);
  if (unpriced.length === 0) return ok(name, `known for all ${named.length} models that are named`);
  const shown = unpriced.slice(0, shownMax).map(({ provider, model }) => `${provider}/${model}`);
  const more = unpriced.length > shownMax ? `, and ${unpriced.length - shownMax} more` : '';
  return warn(name, `unknown for ${shown.join(', ')}${more}`, 'Set providers.<name>.prices, or price_list.');
}
