import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyAccess } from '#shared/tenants/key-access.ts';
import { matchesPattern } from '#shared/tenants/name-pattern.ts';

test('a pattern matches what the same expression with .* would', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.'), maxLength: 8 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '*'), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (given, name) => {
      const source = given
        .split('*')
        .map((part) => part.replaceAll('.', '\\.'))
        .join('.*');
      expect(matchesPattern(given, name)).toBe(new RegExp(`^${source}$`).test(name));
    }),
    { numRuns: 2_000 },
  );
});

test('a pattern of many stars is judged at once, however it fails', () => {
  expect(matchesPattern(`${'a*'.repeat(100)}b`, 'a'.repeat(300))).toBe(false);
});

test('an address is in a range whatever way it came, and never in one of the other family', () => {
  const access = new KeyAccess([{ allowed_ips: ['10.0.0.0/8', '2001:db8::/32', '::1'] }]);
  const allowed = ['10.1.2.3', '::ffff:10.1.2.3', '2001:db8::5', '::1'];
  const refused = ['11.0.0.1', '::ffff:11.0.0.1', '2001:db9::1', '0.0.0.1', 'nonsense', ''];
  expect(allowed.filter((each) => !access.allowsAddress(each))).toEqual([]);
  expect(refused.filter((each) => access.allowsAddress(each))).toEqual([]);
});

test('providers of a key get their share of the calls by weight, spread evenly', () => {
  const access = new KeyAccess(
    [],
    [
      { provider: 'a', weight: 3 },
      { provider: 'b', weight: 1 },
      { provider: 'c', weight: 0 },
    ],
  );
  const turns = Array.from({ length: 8 }, () => access.nextProvider([...access.weightedProviders]));
  expect(turns.join('')).toBe('aabaaaba');
  expect(access.nextProvider(['b'])).toBe('b');
  expect(access.nextProvider([])).toBe(undefined);
});

test('a route is refused unless every level that names routes names it', () => {
  const access = new KeyAccess([{ allowed_routes: ['smart', 'cheap'] }, { allowed_routes: ['smart'] }]);
  access.refuseRoute('smart');
  expect(() => access.refuseRoute('cheap')).toThrow(expect.objectContaining({ code: 'route_blocked' }));
});
