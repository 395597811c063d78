import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '#test/harness/sluice.ts';

let sluice: TestSluice;
let api: Api;
beforeAll(async () => {
  sluice = await startSluice({ withAdmin: true, withoutWorker: true });
  api = (await (await sluice.admin('GET', '/docs/json')).json()) as Api;
});
afterAll(() => sluice.stop());

interface Api {
  openapi: string;
  paths: Record<
    string,
    Record<string, { tags?: string[]; security?: object[]; responses: Record<string, unknown> }>
  >;
  components: { schemas: Record<string, object> };
}

const operations = ['/healthz', '/readyz', '/metrics', '/pools'];

test('the admin API is described: every reference leads somewhere, and every route asks for the key but those of operations', () => {
  expect(api.openapi).toBe('3.1.0');
  const references = [...JSON.stringify(api).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)];
  expect(references.length).toBeGreaterThan(5);
  for (const [, id] of references) expect(Object.keys(api.components.schemas)).toContain(id);
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const name = `${method} ${path}`;
      expect(operation.security !== undefined, name).toBe(!operations.includes(path));
      expect(operation.tags, name).toHaveLength(1);
      expect(Object.keys(operation.responses).length, name).toBeGreaterThan(0);
    }
  }
});

test.each(['customers', 'teams', 'virtual-keys', 'providers', 'credentials', 'pools', 'routes'])(
  '%s can be listed, made, read, replaced, changed and taken out',
  (kind) => {
    expect(Object.keys(api.paths[`/admin/${kind}`]!).toSorted()).toEqual(['get', 'post']);
    const one = Object.keys(api.paths).find(
      (path) => path.startsWith(`/admin/${kind}/{`) && path.endsWith('{id}'),
    );
    expect(Object.keys(api.paths[one!]!).toSorted()).toEqual(['delete', 'get', 'patch', 'put']);
  },
);
