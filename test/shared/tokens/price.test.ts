import { calcPrice } from '@pydantic/genai-prices';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Usage } from '#shared/contracts/job.ts';
import { LiveValue } from '#shared/kernel/live-value.ts';
import { Prices } from '#shared/tokens/price.ts';
import { ManualClock } from '../../harness/manual-clock.ts';
import { holds } from '../../harness/property.ts';
import { type SettingsOverrides, testSettings } from '../../harness/test-settings.ts';

const clock = new ManualClock();
const settingsWith = (over: SettingsOverrides) => testSettings('http://127.0.0.1:1', over);
const pricesWith = (openai: object = {}) =>
  new Prices(new LiveValue(settingsWith({ providers: { openai } })), clock);
const million = { inputTokens: 1_000_000, outputTokens: 1_000_000 };
const usd = 1_000_000_000;

const usages = fc.tuple(...Array.from({ length: 6 }, () => fc.integer({ min: 0, max: 300_000 }))).map(
  ([plain = 0, cached = 0, short = 0, long = 0, output = 0, hidden = 0]): Required<Usage> => ({
    inputTokens: plain + cached + short + long,
    cachedInputTokens: cached,
    cacheWriteTokens: short + long,
    cacheWriteLongTokens: long,
    outputTokens: output + hidden,
    reasoningTokens: hidden,
  }),
);

const models = [
  ['openai', 'gpt-5-mini'],
  ['openai', 'gpt-4o-mini'],
  ['openai', 'text-embedding-3-small'],
  ['anthropic', 'claude-sonnet-5'],
  ['anthropic', 'claude-sonnet-4-20250514'],
  ['anthropic', 'claude-opus-5'],
] as const;

describe('the list price of a call', () => {
  test('is that of the price library, to the nearest nano-USD', async () => {
    const prices = pricesWith();
    await holds(
      300,
      fc.property(fc.constantFrom(...models), usages, ([provider, model], usage) => {
        const listed = calcPrice(
          {
            input_tokens: usage.inputTokens,
            cache_read_tokens: usage.cachedInputTokens,
            cache_write_tokens: usage.cacheWriteTokens,
            cache_write_1h_tokens: usage.cacheWriteLongTokens,
            output_tokens: usage.outputTokens,
            output_reasoning_tokens: usage.reasoningTokens,
          },
          model,
          { providerId: provider, timestamp: new Date(clock.nowMs()) },
        );
        const own = prices.priceOf({ provider, model }, usage);
        expect(own).toBeTypeOf('number');
        expect(Math.abs(own! - listed!.total_price * usd)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('is never above the worst case of the same tokens', async () => {
    const prices = pricesWith();
    await holds(
      300,
      fc.property(fc.constantFrom(...models), usages, ([provider, model], usage) => {
        const { inputTokens: input, outputTokens: asked } = usage;
        const worst = prices.worstCase({ provider, model }, { input, output: 0, max: 0, linear: 0, asked });
        expect(prices.priceOf({ provider, model }, usage)).toBeLessThanOrEqual(worst!);
      }),
    );
  });

  test('is found by the address of the provider, whatever its name', () => {
    const settings = settingsWith({});
    const named = { ...settings.providers.openai!, base_url: 'https://api.anthropic.com' };
    const live = new LiveValue({ ...settings, providers: { 'my-own': named } });
    const prices = new Prices(live, clock);
    expect(prices.priceOf({ provider: 'my-own', model: 'claude-sonnet-5' }, million)).toBe(12 * usd);
  });

  test('is unknown for a model nobody lists, a provider nobody knows, and where the list is not wanted', () => {
    const prices = pricesWith();
    expect(prices.priceOf({ provider: 'openai', model: 'no-such-model' }, million)).toBeUndefined();
    expect(prices.priceOf({ provider: 'gone', model: 'gpt-5-mini' }, million)).toBeUndefined();
    expect(
      prices.worstCase({ provider: 'gone', model: 'x' }, { input: 1, output: 1, max: 1, linear: 1 }),
    ).toBe(undefined);
    const unlisted = pricesWith({ price_list: 'none' });
    expect(unlisted.priceOf({ provider: 'openai', model: 'gpt-5-mini' }, million)).toBeUndefined();
  });
});

describe('a price of the configuration', () => {
  const priced = { input: 2, output: 8, cached_input: 0.5, cache_write: 3, request: 0.01 };

  test('goes before the list, and counts each kind of token', () => {
    const prices = pricesWith({ prices: { 'gpt-5-mini': priced } });
    const usage = {
      inputTokens: 1_000_000,
      cachedInputTokens: 200_000,
      cacheWriteTokens: 100_000,
      outputTokens: 500_000,
    };
    const expected = (0.7 * 2 + 0.2 * 0.5 + 0.1 * 3 + 0.5 * 8 + 0.01) * usd;
    expect(prices.priceOf({ provider: 'openai', model: 'gpt-5-mini' }, usage)).toBe(Math.round(expected));
  });

  test('holds for models by prefix: the exact name first, then the longest prefix', () => {
    const prices = pricesWith({
      prices: { 'own-*': { input: 1 }, 'own-large-*': { input: 2 }, 'own-large-x': { input: 3 } },
    });
    const costs = ['own-a', 'own-large-a', 'own-large-x'].map((model) =>
      prices.priceOf({ provider: 'openai', model }, { inputTokens: 1_000_000, outputTokens: 5 }),
    );
    expect(costs).toEqual([1 * usd, 2 * usd, 3 * usd]);
  });

  test('takes effect with the changed configuration', () => {
    const settings = settingsWith({});
    const live = new LiveValue(settings);
    const prices = new Prices(live, clock);
    const place = { provider: 'openai', model: 'gpt-5-mini' };
    const before = prices.priceOf(place, million);
    live.replace(settingsWith({ providers: { openai: { prices: { 'gpt-5-mini': { input: 7 } } } } }));
    expect(before).toBe(2.25 * usd);
    expect(prices.priceOf(place, million)).toBe(7 * usd);
  });
});

test('parts that a provider reports larger than their whole cost no more than the whole', () => {
  const prices = pricesWith({ prices: { m: { input: 1, output: 1, cached_input: 0.1, cache_write: 2 } } });
  const place = { provider: 'openai', model: 'm' };
  const broken = { inputTokens: 10, outputTokens: 1, cachedInputTokens: 50, cacheWriteTokens: 50 };
  expect(prices.priceOf(place, broken)).toBe(10 * 100 + 1_000);
});

test('a call that names no maximum is reckoned with the output its ceilings hold, over one choice', () => {
  const prices = pricesWith({ prices: { m: { input: 1, output: 2 } } });
  const place = { provider: 'openai', model: 'm' };
  expect(prices.worstCase(place, { input: 10, output: 5, max: 20, linear: 10 })).toBe(10_000 + 40_000);
  expect(prices.worstCase(place, { input: 10, output: 5, max: 20, linear: 10, asked: 50 })).toBe(110_000);
});
