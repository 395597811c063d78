import { afterAll, beforeAll, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());

const entry = (text: string) => ({ endpoint: '/v1/chat/completions', body: chat(text) });
type Results = { data: { status: number; job?: { id: string }; error?: { code: string } }[] };

test('202: one job, readable at its Location', async () => {
  const response = await sluice.post('/v1/jobs', { ...entry('one'), metadata: { order: 'o-1' } });
  const job = (await response.json()) as { id: string; metadata: unknown };
  expect([response.status, response.headers.get('location')]).toEqual([202, `/v1/jobs/${job.id}`]);
  expect(job.metadata).toEqual({ order: 'o-1' });
  const read = await sluice.get(response.headers.get('location')!, { prefer: 'wait=20' });
  expect(await read.json()).toMatchObject({
    id: job.id,
    status: 'succeeded',
    attempts: [{ attempt: 1, status: 200, result: 'succeeded' }],
  });
});

test('202: 1,000 jobs at once, each called once', async () => {
  sluice.simulator.log.clear();
  const response = await sluice.post(
    '/v1/jobs',
    Array.from({ length: 1_000 }, (_, at) => entry(`job ${at}`)),
  );
  const { data } = (await response.json()) as Results;
  expect([response.status, data.length]).toEqual([202, 1_000]);
  const ids = new Set(data.map(({ job }) => job!.id));
  expect(ids.size).toBe(1_000);
  await until('all are called', () => arrivalsAt(sluice.simulator).length >= 1_000);
  expect(
    new Set(arrivalsAt(sluice.simulator).map(({ clientRequestId }) => clientRequestId.split('/')[0])),
  ).toEqual(ids);
});

test('202: in an array each entry has its own result', async () => {
  const mixed = [
    entry('good'),
    { ...entry('bad'), endpoint: '/v1/none' },
    null,
    { ...entry('x'), body: { ...chat(), model: 'gpt-none' } },
    entry('good too'),
  ];
  const { data } = (await (await sluice.post('/v1/jobs', mixed)).json()) as Results;
  expect(data.map(({ status, error }) => [status, error?.code])).toEqual([
    [202, undefined],
    [400, 'invalid_request'],
    [400, 'invalid_request'],
    [404, 'model_not_found'],
    [202, undefined],
  ]);
});

test('400: an array of 1,001 jobs, of which none is taken', async () => {
  const redis = sluice.redis.connect();
  const before = await redis.zcard(keys.jobs('acme'));
  const response = await sluice.post(
    '/v1/jobs',
    Array.from({ length: 1_001 }, () => entry('many')),
  );
  expect([response.status, await response.json()]).toMatchObject([400, { code: 'invalid_request' }]);
  expect(await redis.zcard(keys.jobs('acme'))).toBe(before);
  redis.disconnect();
});
