import { describe, expect, test } from 'vitest';
import { poolSchema } from '#config/pool-schema.ts';

const pool = (given: Record<string, unknown>) => poolSchema.safeParse(given);
const ceilingsOf = (given: Record<string, unknown>) => pool(given).data?.ceilings;
const mistakeOf = (given: Record<string, unknown>) => pool(given).error?.issues[0];

describe('tier', () => {
  test('fills in the ceilings that the provider publishes for the models', () => {
    expect(ceilingsOf({ models: ['gpt-5-mini'], tier: 'tier3' })).toEqual({
      auto: false,
      rpm: 5_000,
      tpm: 4_000_000,
    });
    expect(ceilingsOf({ models: ['claude-sonnet-4-6', 'claude-sonnet-4-5'], tier: 'build' })).toMatchObject({
      rpm: 5_000,
      itpm: 5_000_000,
      otpm: 1_000_000,
    });
  });

  test('holds for a dated release of a model, and for all that a prefix takes', () => {
    expect(ceilingsOf({ models: ['gpt-5-mini-2025-08-07'], tier: 'tier1' })).toMatchObject({ rpm: 500 });
    expect(ceilingsOf({ models: ['claude-sonnet-4*'], tier: 'start' })).toMatchObject({ rpm: 1_000 });
  });

  test('leaves what is given itself, and may be corrected by the provider', () => {
    expect(ceilingsOf({ models: ['gpt-5-mini'], tier: 'tier1', ceilings: { auto: true, rpm: 20 } })).toEqual({
      auto: true,
      rpm: 20,
      tpm: 500_000,
    });
    expect(ceilingsOf({ models: ['gpt-5-mini'], tier: 'tier1', ceilings: 'auto' })).toMatchObject({
      auto: true,
      rpm: 500,
    });
  });

  test.each([
    [{ models: ['gpt-5-mini'], tier: 'gold' }, /no tier gold for gpt-5-mini; known: tier1, tier2, tier3/],
    [{ models: ['my-own-model'], tier: 'tier1' }, /no tier is known for my-own-model; .*gpt-5-mini/],
    [{ models: ['gpt-5-mini', 'gpt-6-sol'], tier: 'tier2' }, /different ceilings in tier2 .*pool of its own/],
    [{ models: ['gpt-5-mini'], tier: 'constructor' }, /no tier constructor/],
  ])('that does not fit is refused with what is known: %j', (given, message) => {
    expect(mistakeOf(given)?.path).toEqual(['tier']);
    expect(mistakeOf(given)?.message).toMatch(message);
  });
});

test('`ceilings: auto` is short for `{ auto: true }`', () => {
  expect(ceilingsOf({ models: ['m'], ceilings: 'auto' })).toEqual({ auto: true });
  expect(mistakeOf({ models: ['m'], ceilings: 'sometimes' })?.path).toEqual(['ceilings']);
});
