import { expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { type CountedCall, chargesOf, heldOutput } from '#shared/quotas/charges.ts';

const customersOf = (acme: object) =>
  settingsSchema.shape.customers.parse({
    acme: {
      keys: [
        { id: 'dev', key: 'k1' },
        { id: 'ops', key: 'k2' },
      ],
      ...acme,
    },
  });
const call = (more: Partial<CountedCall> = {}): CountedCall => ({
  axes: { key: 'dev' },
  place: { provider: 'openai', model: 'gpt-5-mini' },
  input: 10,
  output: 100,
  isOpen: false,
  price: () => 5_000,
  ...more,
});
const charged = (acme: object, more: Partial<CountedCall> = {}) =>
  chargesOf(customersOf(acme), 'acme', call(more));
const counters = (acme: object, more: Partial<CountedCall> = {}) =>
  charged(acme, more).map(({ counter }) => counter);

test('a caller without quotas is charged nothing', () => {
  expect(charged({})).toEqual([]);
  expect(chargesOf(customersOf({}), 'nobody', call())).toEqual([]);
});

test('each dimension reserves the most the call may use', () => {
  const limits = [
    { requests: 5 },
    { tokens: 500 },
    { input_tokens: 50 },
    { output_tokens: 400 },
    { concurrency: 2 },
  ];
  expect(charged({ limits, budgets: [{ usd: 1 }] }).map(({ cost }) => cost)).toEqual([
    1, 110, 10, 100, 1, 5_000,
  ]);
});

test('limits of a team hold for the keys of the team, together', () => {
  const teams = { red: { limits: [{ requests: 4, per: ['team'] }] } };
  const keys = [
    { id: 'dev', key: 'k1', team: 'red' },
    { id: 'ops', key: 'k2', team: 'red' },
    { id: 'own', key: 'k3' },
  ];
  const of = (key: string) => counters({ teams, keys }, { axes: { key } });
  expect(of('dev')).toHaveLength(1);
  expect(of('ops')).toEqual(of('dev'));
  expect(of('own')).toEqual([]);
});

test('a call that names no maximum holds an expectation, and never more than there is', () => {
  const tokens = { input: 1, output: 20, max: 16, linear: 1 };
  expect(heldOutput({ ...tokens, asked: 7 }, 50)).toEqual({ output: 7, isOpen: false });
  expect(heldOutput(tokens, 50)).toEqual({ output: 50, isOpen: true });
  expect(heldOutput({ ...tokens, output: 90 }, 50)).toEqual({ output: 90, isOpen: true });
  expect(heldOutput({ ...tokens, output: 0, max: 0 }, 50)).toEqual({ output: 0, isOpen: false });
  expect(charged({ limits: [{ tokens: 30 }] }, { isOpen: true })).toMatchObject([{ cost: 30 }]);
});

test('limits of the customer and of the key hold together, those of another key do not', () => {
  const keys = [
    { id: 'dev', key: 'k1', limits: [{ requests: 5 }] },
    { id: 'ops', key: 'k2', limits: [{ requests: 7 }] },
  ];
  const tiers = charged({ keys, limits: [{ requests: 9 }] }).map(({ limit }) => [limit.axis, limit.limit]);
  expect(tiers).toEqual([
    ['customer', 9],
    ['key', 5],
  ]);
});

test('shared window key for different limits: whatever differs in what is counted has a counter of its own', () => {
  const variants = [
    { requests: 5 },
    { tokens: 5 },
    { requests: 5, window: '1h' },
    { requests: 5, calendar: true },
    { requests: 5, algorithm: 'token_bucket' },
    { requests: 5, per: ['user'] },
    { requests: 5, per: ['model'] },
    { requests: 5, match: { model: 'gpt-*' } },
  ];
  const keys = [{ id: 'dev', key: 'k1', limits: [{ requests: 5 }] }];
  const names = counters({ limits: variants, keys });
  expect(new Set(names).size).toBe(variants.length + 1);
  const changed = counters({ limits: [{ requests: 99 }] });
  expect(changed[0], 'a changed amount goes on with what was counted').toBe(names[0]);
});

test('each value of an axis is counted on its own, and calls that name none share one counter', () => {
  const limits = [{ requests: 5, per: ['user', 'model'] }];
  const of = (user: string | undefined, model = 'gpt-5-mini') =>
    counters({ limits }, { axes: { key: 'dev', user }, place: { provider: 'openai', model } })[0];
  expect(of('ann')).toBe(of('ann'));
  expect(new Set([of('ann'), of('ben'), of('ann', 'o3'), of(undefined), of(undefined, 'o3')]).size).toBe(5);
});

test('a limit for some models leaves the others alone', () => {
  const acme = { limits: [{ requests: 5, match: { model: ['gpt-*', 'o3'], key: 'dev' } }] };
  const at = (model: string, key = 'dev') =>
    counters(acme, { axes: { key }, place: { provider: 'openai', model } }).length;
  expect([at('gpt-5-mini'), at('o3'), at('o3-mini'), at('claude'), at('gpt-5-mini', 'ops')]).toEqual([
    1, 1, 0, 0, 0,
  ]);
});

test('a call whose price nobody knows is refused where a budget counts it, unless that lets it pass', () => {
  const unpriced = { price: () => undefined };
  expect(() => charged({ budgets: [{ usd: 1 }] }, unpriced)).toThrow(/no price is known for gpt-5-mini/);
  expect(charged({ budgets: [{ usd: 1, unpriced: 'free' }] }, unpriced)).toMatchObject([{ cost: 0 }]);
  expect(charged({ limits: [{ requests: 1 }] }, unpriced)).toHaveLength(1);
  expect(charged({ budgets: [{ usd: 1, match: { provider: 'x' } }] }, unpriced)).toEqual([]);
});
