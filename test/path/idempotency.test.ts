import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { otherKey, testKey } from '../harness/test-settings.ts';
import { arrivalsAt, jobOf } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());
beforeEach(() => sluice.simulator.log.clear());

const path = '/v1/chat/completions';
const jobBody = (text: string, more: Record<string, unknown> = {}) => ({
  endpoint: path,
  body: chat(text),
  ...more,
});
const idOf = async (response: Response) => ((await response.json()) as { id: string }).id;

test('100 concurrent calls with one Idempotency-Key are one job, one provider call and 100 equal answers', async () => {
  const call = () => sluice.post(path, chat('same', { delayMs: 300 }), { 'idempotency-key': 'hundred' });
  const responses = await Promise.all(Array.from({ length: 100 }, call));
  const bodies = new Set(await Promise.all(responses.map((response) => response.text())));
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
  expect(bodies.size).toBe(1);
  expect(new Set(responses.map(({ headers }) => headers.get('x-sluice-job-id'))).size).toBe(1);
  expect(arrivalsAt(sluice.simulator)).toHaveLength(1);
});

test('a replay after the end gives the same bytes without a call', async () => {
  const headers = { 'idempotency-key': 'replayed' };
  const first = await (await sluice.post(path, chat('replay'), headers)).text();
  sluice.simulator.log.clear();
  const again = await sluice.post(path, chat('replay'), headers);
  expect([again.status, await again.text()]).toEqual([200, first]);
  expect(arrivalsAt(sluice.simulator)).toHaveLength(0);
});

test('a failure is replayed like an answer', async () => {
  const headers = { 'idempotency-key': 'failed' };
  const first = await sluice.post(path, chat('fails', { status: 400 }), headers);
  const again = await sluice.post(path, chat('fails', { status: 400 }), headers);
  expect([again.status, await again.text()]).toEqual([400, await first.text()]);
  expect(arrivalsAt(sluice.simulator)).toHaveLength(1);
});

test('the same key with another body is 422 and calls nobody', async () => {
  const headers = { 'idempotency-key': 'other body' };
  await sluice.post(path, chat('one'), headers);
  const other = await sluice.post(path, chat('two'), headers);
  expect(other.status).toBe(422);
  expect(await other.json()).toMatchObject({ error: { code: 'idempotency_mismatch' } });
  expect(arrivalsAt(sluice.simulator)).toHaveLength(1);
});

test('two tenants that use the same key have two jobs', async () => {
  const call = (key: string) =>
    sluice.post(path, chat('tenants'), { 'idempotency-key': 'shared', authorization: `Bearer ${key}` });
  const [one, two] = await Promise.all([call(testKey), call(otherKey)]);
  expect(one.headers.get('x-sluice-job-id')).not.toBe(two.headers.get('x-sluice-job-id'));
  expect(arrivalsAt(sluice.simulator)).toHaveLength(2);
});

test('POST /v1/jobs takes the key from its field and from the header', async () => {
  const fields = [
    await sluice.post('/v1/jobs', jobBody('f', { idempotency_key: 'field' })),
    await sluice.post('/v1/jobs', jobBody('f', { idempotency_key: 'field' })),
  ];
  const headers = [
    await sluice.post('/v1/jobs', jobBody('h'), { 'idempotency-key': 'head' }),
    await sluice.post('/v1/jobs', jobBody('h'), { 'idempotency-key': 'head' }),
  ];
  const [field1, field2, head1, head2] = await Promise.all([...fields, ...headers].map(idOf));
  expect(field1).toBe(field2);
  expect(head1).toBe(head2);
  expect(field1).not.toBe(head1);
  const mismatch = await sluice.post('/v1/jobs', jobBody('other', { idempotency_key: 'field' }));
  expect([mismatch.status, await mismatch.json()]).toMatchObject([422, { code: 'idempotency_mismatch' }]);
});

test('a call and a job with the same key and body are the same job', async () => {
  const id = await idOf(await sluice.post('/v1/jobs', jobBody('doors', { idempotency_key: 'doors' })));
  const call = await sluice.post(path, chat('doors'), { 'idempotency-key': 'doors' });
  expect(call.headers.get('x-sluice-job-id')).toBe(id);
  expect((await jobOf(sluice, id)).status).toBe('succeeded');
});
