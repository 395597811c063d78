import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { otherKey } from '#test/harness/test-settings.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({ withAdmin: true });
  const other = { authorization: `Bearer ${otherKey}` };
  for (const headers of [{}, {}, other])
    expect((await sluice.post('/v1/chat/completions', chat(), headers)).status).toBe(200);
});
afterAll(() => sluice.stop());

const usage = (query: string) => sluice.admin('GET', `/admin/usage?${query}`);

test('usage of all tenants is told apart by tenant, and of one when it is named', async () => {
  const all = (await (await usage('group_by=tenant,model')).json()) as { data: object[]; total: object };
  expect(all.data).toMatchObject([
    { tenant: 'acme', model: 'gpt-5-mini', calls: 2, failures: 0 },
    { tenant: 'rival', model: 'gpt-5-mini', calls: 1 },
  ]);
  expect(all.total).toMatchObject({ calls: 3 });
  expect(await (await usage('group_by=tenant&tenant=rival')).json()).toMatchObject({ total: { calls: 1 } });
  expect(await (await usage('tenant=nobody')).json()).toMatchObject({ data: [], total: { calls: 0 } });
});

test('usage is told as CSV too', async () => {
  const response = await usage('group_by=tenant&format=csv');
  expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  const [head, first] = (await response.text()).split('\n');
  expect(head).toMatch(/^tenant,calls,failures,/);
  expect(first).toMatch(/^acme,2,0,/);
});

test.each(['group_by=password', 'from=yesterday', 'format=xml', 'from=2026-02-01&to=2026-01-01'])(
  'a question that cannot be answered is refused: %s',
  async (query) => {
    expect((await usage(query)).status).toBe(400);
  },
);
