import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openRouteBook, type RouteBook } from '#test/harness/route-book.ts';
import { startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { testAdminKey, testKey } from '#test/harness/test-settings.ts';

let sluice: TestSluice;
let book: RouteBook;
beforeAll(async () => {
  book = openRouteBook();
  sluice = await startSluice({ withAdmin: true, withoutWorker: true });
});
afterAll(async () => {
  await sluice.stop();
  book.close();
});

const open = ['/healthz', '/readyz', '/metrics', '/pools'];
const isOpen = (path: string) => open.includes(path) || /^\/docs(\/|$)/.test(path);

/** Every route of the admin server but those that are open to all, with ids of nothing. */
function guardedRoutes(): [method: string, path: string][] {
  const ofAdmin = book.servers.find((routes) => routes.has('GET /admin/audit'))!;
  return [...ofAdmin]
    .map((route) => route.split(' ') as [string, string])
    .filter(([method, path]) => method !== 'HEAD' && !isOpen(path))
    .map(([method, path]) => [method, path.replaceAll(/:\w+/g, 'x')]);
}

describe('the admin port', () => {
  test.each([...open, '/docs/json'])(
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
    const routes = guardedRoutes();
    expect(routes.length).toBeGreaterThan(40);
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
