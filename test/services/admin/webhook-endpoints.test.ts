import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { otherKey } from '#test/harness/test-settings.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({ withAdmin: true, withoutWorker: true });
});
afterAll(() => sluice.stop());

const base = '/admin/webhook-endpoints';
const wanted = { customer: 'acme', url: 'https://hooks.example.com/in', events: ['job.failed'] };

test('an operator makes, changes and takes out an endpoint of a customer, who has it then, and the audit says so', async () => {
  const made = await sluice.admin('POST', base, wanted);
  expect(made.status).toBe(201);
  const { id, secret } = (await made.json()) as { id: string; secret: string };
  expect(secret).toMatch(/^whsec_/);
  expect(await (await sluice.get(`/v1/webhook-endpoints/${id}`)).json()).toMatchObject({ url: wanted.url });
  const changed = await sluice.admin('PATCH', `${base}/acme/${id}`, { status: 'paused' });
  expect(await changed.json()).toMatchObject({ status: 'paused', status_reason: 'requested' });
  expect((await sluice.admin('DELETE', `${base}/acme/${id}`)).status).toBe(204);
  expect((await sluice.get(`/v1/webhook-endpoints/${id}`)).status).toBe(404);
  const audit = (await (await sluice.admin('GET', '/admin/audit')).json()) as { data: object[] };
  expect(audit.data).toMatchObject(['remove', 'change', 'create'].map((action) => ({ action })));
  expect(JSON.stringify(audit)).not.toContain(secret);
});

test('an endpoint is found under its own customer only', async () => {
  const own = await sluice.post(
    '/v1/webhook-endpoints',
    { url: wanted.url },
    { authorization: `Bearer ${otherKey}` },
  );
  const { id } = (await own.json()) as { id: string };
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    const response = await sluice.admin(method, `${base}/acme/${id}`, method === 'PATCH' ? {} : undefined);
    expect({ method, status: response.status }).toEqual({ method, status: 404 });
  }
  const { data } = (await (await sluice.admin('GET', `${base}?customer=rival`)).json()) as { data: object[] };
  expect(data).toMatchObject([{ id, customer: 'rival' }]);
});

test.each([
  ['a customer that is not there', { ...wanted, customer: 'nobody' }, 404],
  ['a private address', { ...wanted, url: 'https://127.0.0.1/x' }, 400],
  ['an event that is none', { ...wanted, events: ['job.born'] }, 400],
  ['a field that is none', { ...wanted, secret: 'x' }, 400],
])('an endpoint with %s is refused', async (_what, body, status) => {
  expect((await sluice.admin('POST', base, body)).status).toBe(status);
});
