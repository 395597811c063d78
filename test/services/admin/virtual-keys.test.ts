import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { until } from '#test/harness/until.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({ withAdmin: true, withoutWorker: true });
});
afterAll(() => sluice.stop());

const base = '/admin/virtual-keys';
const make = async (body: object) => {
  const response = await sluice.admin('POST', base, body);
  return {
    status: response.status,
    made: (await response.json()) as { id: string; key: string; code?: string },
  };
};
const statusWith = async (key: string) =>
  (await sluice.get('/v1/models', { authorization: `Bearer ${key}` })).status;
const isRefused = async (key: string) => [401, 403].includes(await statusWith(key));

test('a key that is made works at once, is told once, and works no more when it is revoked or taken out', async () => {
  const { status, made } = await make({ customer: 'acme', name: 'for CI' });
  expect({ status, id: made.id }).toEqual({ status: 201, id: 'acme/for-CI' });
  await until('callers are let in', async () => (await statusWith(made.key)) === 200);
  await sluice.admin('PATCH', `${base}/acme/for-CI`, { is_active: false });
  await until('it is refused', () => isRefused(made.key));
  await sluice.admin('PATCH', `${base}/acme/for-CI`, { is_active: true });
  await until('it is let in again', async () => (await statusWith(made.key)) === 200);
  expect((await sluice.admin('DELETE', `${base}/acme/for-CI`)).status).toBe(204);
  await until('it is refused', () => isRefused(made.key));
  const told = await Promise.all(
    [`${base}?customer=acme`, '/admin/audit'].map(async (path) => (await sluice.admin('GET', path)).text()),
  );
  for (const text of told) expect(text).not.toContain(made.key);
});

test('a key that callers have already goes on working, and belongs to one alone', async () => {
  const key = 'sk-bf-migrated-from-elsewhere';
  expect((await make({ customer: 'acme', id: 'migrated', key })).status).toBe(201);
  await until('callers are let in', async () => (await statusWith(key)) === 200);
  const twice = await make({ customer: 'rival', key });
  expect(twice).toMatchObject({ status: 409, made: { code: 'object_exists' } });
  expect(JSON.stringify(twice.made)).not.toContain(key);
});

test('a key is found under its own customer only', async () => {
  await make({ customer: 'acme', id: 'own' });
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    const response = await sluice.admin(method, `${base}/rival/own`, method === 'PATCH' ? {} : undefined);
    expect({ method, status: response.status }).toEqual({ method, status: 404 });
  }
});

test.each([
  ['nobody', { customer: 'nobody' }, 404],
  ['a key that can be guessed', { customer: 'acme', key: 'abc' }, 400],
  ['a key with spaces', { customer: 'acme', key: 'sk with spaces in between' }, 400],
  ['a team that is not there', { customer: 'acme', team: 'nowhere' }, 400],
  ['a name that is taken', { customer: 'acme', id: 'test' }, 409],
  ['a name that is none', { customer: 'acme', id: '../x' }, 400],
])('a key for %s is refused', async (_what, body, status) => {
  expect((await make(body)).status).toBe(status);
});
