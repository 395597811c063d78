import { expect, test } from 'vitest';
import { readAxes, withBodyUser } from '../../../services/ingress/call-axes.ts';

const identity = { tenant: 'acme', keyId: 'dev' };

test('a call is told apart by its key, and by the user and feature that its headers name', () => {
  expect(readAxes({ identity, headers: {} })).toEqual({ key: 'dev' });
  const headers = { 'x-sluice-user': 'ann', 'x-sluice-feature': 'search' };
  expect(readAxes({ identity, headers })).toEqual({ key: 'dev', user: 'ann', feature: 'search' });
});

test.each(['', 'x'.repeat(257)])('a user whose name is %j long is refused, and the header named', (user) => {
  expect(() => readAxes({ identity, headers: { 'x-sluice-user': user } })).toThrow(/x-sluice-user/);
});

test('the user of the body counts where no header names one', () => {
  const axes = { key: 'dev' };
  expect(withBodyUser(axes, { user: 'ann' }).user).toBe('ann');
  expect(withBodyUser(axes, { metadata: { user_id: 'ben' } }).user).toBe('ben');
  expect(withBodyUser({ ...axes, user: 'cat' }, { user: 'ann' }).user).toBe('cat');
  for (const body of [{}, { user: 7 }, { metadata: null }, { metadata: 'ann' }, { user: '' }])
    expect(withBodyUser(axes, body)).toEqual(axes);
});
