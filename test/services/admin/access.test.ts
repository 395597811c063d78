import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { testAdminKey, testKey } from '#test/harness/test-settings.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({ withAdmin: true, withoutWorker: true });
});
afterAll(() => sluice.stop());

interface Api {
  paths: Record<string, Record<string, { security?: Record<string, string[]>[] }>>;
}

/** Every route of the description that asks for a key. */
async function guardedRoutes(): Promise<[method: string, path: string][]> {
  const { paths } = (await (await sluice.admin('GET', '/docs/json')).json()) as Api;
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, { security }]) => security !== undefined)
      .map(([method]): [string, string] => [method.toUpperCase(), path.replaceAll(/\{\w+\}/g, 'x')]),
  );
}

describe('the admin port', () => {
  test.each(['/healthz', '/readyz', '/metrics', '/pools', '/docs/json'])(
    '%s answers without a key, as on every operations port',
    async (path) => {
      const response = await sluice.admin('GET', path, undefined, { authorization: '' });
      expect(response.status).toBe(200);
    },
  );

  test.each([
    ['no key', {}, 'missing_key'],
    ['a wrong key', { authorization: `Bearer ${testAdminKey}x` }, 'invalid_key'],
    ['a prefix of the key', { authorization: `Bearer ${testAdminKey.slice(0, -1)}` }, 'invalid_key'],
    ['a virtual key', { authorization: `Bearer ${testKey}` }, 'invalid_key'],
    ['an empty key', { 'x-api-key': '' }, 'invalid_key'],
    ['another scheme', { authorization: `Basic ${btoa(`admin:${testAdminKey}`)}` }, 'invalid_key'],
  ])('every route that changes or tells something refuses %s', async (_what, headers, code) => {
    const routes = await guardedRoutes();
    expect(routes.length).toBeGreaterThan(0);
    for (const [method, path] of routes) {
      const url = new URL(path, (await sluice.admin('GET', '/healthz')).url);
      const response = await fetch(url, { method, headers });
      expect({ method, path, status: response.status }).toEqual({ method, path, status: 401 });
      expect(response.headers.get('content-type')).toContain('application/problem+json');
      expect(await response.json()).toMatchObject({ code, status: 401 });
    }
  });

  test('a virtual key opens no admin route, and the admin key no route of the public API', async () => {
    expect((await sluice.get('/v1/models', { authorization: `Bearer ${testAdminKey}` })).status).toBe(401);
  });
});
