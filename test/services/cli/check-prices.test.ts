import { expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { testSettings } from '#test/harness/test-settings.ts';
import { checkPrices } from '../../../services/cli/doctor/check-prices.ts';

test('doctor names models whose price nobody knows; those of a prefix are not judged', () => {
  const pools = { chat: { models: ['gpt-5-mini', 'own-model', 'unknown-*'] } };
  const settings = testSettings('http://127.0.0.1:1', { providers: { openai: { pools } } });
  expect(checkPrices(settings, systemClock)).toMatchObject({
    name: 'prices',
    state: 'warn',
    detail: 'unknown for openai/own-model',
  });
  const prices = { 'own-*': { input: 1, output: 2 } };
  const priced = testSettings('http://127.0.0.1:1', { providers: { openai: { pools, prices } } });
  expect(checkPrices(priced, systemClock)).toMatchObject({ name: 'prices', state: 'ok' });
});
