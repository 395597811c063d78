import { describe, expect, test } from 'vitest';
import { compileRule, type RuleFacts } from '#config/rule-language.ts';

const facts: RuleFacts = {
  model: 'smart',
  tenant: 'acme',
  key: 'test',
  team: '',
  user: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!',
  feature: 'search',
  hour: 13,
  budget_used: 86.5,
  tokens: { input: 1_200 },
  pool: { wait_ms: 2_500.4, depth: 3 },
  headers: { 'x-tier': 'gold' },
  metadata: { plan: 'free' },
};

test.each([
  ['budget_used > 85', true],
  ['budget_used > 86.5', false],
  ['pool.wait_ms > 2000 && pool.depth < 4', true],
  ['tokens.input / 2 == 600', true],
  ['hour >= 9 && hour < 17', true],
  ['headers["x-tier"] == "gold"', true],
  ['metadata.plan in ["free", "trial"]', true],
  ['re2(feature, "^sea")', true],
  ['model == "smart" && tenant.startsWith("ac") && key == "test" && team == ""', true],
  // What cannot be evaluated does not hold, but the other side of an "or" still counts.
  ['headers["x-none"] == "gold"', false],
  ['headers["x-none"] == "gold" || hour == 13', true],
  ['has(headers.none)', false],
])('%s is %s', (text, holds) => {
  expect(compileRule(text).holds(facts)).toBe(holds);
});

describe('a rule is refused when it is compiled', () => {
  test.each([
    ['budget_usd > 85', 'Unknown variable: budget_usd'],
    ['pool.wait > 2000', 'No such key: wait'],
    ['pool.depth', 'is of type int, and must be true or false'],
    ['hour > "9"', 'no such overload: int > string'],
    ['hour >', 'Unexpected token: EOF'],
    ['user.matches("^(a+)+$")', 'matches() is not allowed'],
    ['[1, 2].exists(n, user.matches("(a+)+$"))', 'matches() is not allowed'],
    ['re2(user, "(")', 'the pattern of re2() is not valid'],
    ['re2(user, feature)', 'the pattern of re2() must be a text'],
    [
      'metadata.all(a, metadata.all(b, metadata.all(c, a == b && b == c)))',
      'loops are nested more than 2 deep',
    ],
    [Array.from({ length: 300 }, () => 'true').join(' && '), 'Exceeded max'],
  ])('%s', (text, reason) => {
    expect(() => compileRule(text)).toThrow(reason);
  });
});

test('a pattern that would keep backtracking engines busy for ever is answered at once', () => {
  expect(compileRule('re2(user, "^(a+)+$")').holds(facts)).toBe(false);
});
