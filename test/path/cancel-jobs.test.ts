import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { callsOf, jobOf, submit, untilCalled, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    settings: { providers: { openai: { pools: { chat: { concurrency: 1 } } } } },
  });
});
afterAll(() => sluice.stop());

const cancel = (id: string) => sluice.post(`/v1/jobs/${id}/cancel`, '');
const hanging = chat('hangs', { hang: true });

test('200: a waiting job ends at once and is never called', async () => {
  const blocker = await submit(sluice, hanging);
  await untilCalled(sluice, blocker);
  const waiting = await submit(sluice, chat('waits'));
  expect((await jobOf(sluice, waiting)).status).toBe('queued');

  const response = await cancel(waiting);
  expect([response.status, await response.json()]).toMatchObject([
    200,
    { status: 'cancelled', attempts: [], error: { code: 'cancelled' } },
  ]);
  await cancel(blocker);
  await untilStatus(sluice, blocker, 'cancelled');
  // A later job is served, so the cancelled one had its chance.
  expect((await sluice.post('/v1/chat/completions', chat('after'))).status).toBe(200);
  expect(callsOf(sluice, waiting)).toEqual([]);
});

test('200: a running job has its provider request aborted', async () => {
  const id = await submit(sluice, hanging);
  await untilCalled(sluice, id);
  expect((await cancel(id)).status).toBe(200);
  expect(await untilStatus(sluice, id, 'cancelled')).toMatchObject({
    attempts: [{ result: 'aborted', status: null }],
  });
  await until('the provider sees the abort', () => callsOf(sluice, id)[0]!.aborted);
  const result = await sluice.get(`/v1/jobs/${id}/result`);
  expect([result.status, await result.json()]).toMatchObject([409, { error: { code: 'cancelled' } }]);
});

test('200: cancelling twice is cancelling once', async () => {
  const id = await submit(sluice, hanging);
  await untilCalled(sluice, id);
  await cancel(id);
  await untilStatus(sluice, id, 'cancelled');
  expect([(await cancel(id)).status, callsOf(sluice, id).length]).toEqual([200, 1]);
});

test('200: an awaited call whose job is cancelled elsewhere is answered', async () => {
  const call = sluice.post('/v1/chat/completions', hanging);
  const arrival = await until('called', () => {
    return sluice.simulator.log.inFlight > 0 ? lastJob() : undefined;
  });
  await cancel(arrival);
  const response = await call;
  expect([response.status, await response.json()]).toMatchObject([409, { error: { code: 'cancelled' } }]);
});

test('409: a finished job stays as it is', async () => {
  const done = await sluice.post('/v1/chat/completions', chat('done'));
  const id = done.headers.get('x-sluice-job-id')!;
  const response = await cancel(id);
  expect([response.status, await response.json()]).toMatchObject([409, { code: 'job_already_finished' }]);
  expect((await jobOf(sluice, id)).status).toBe('succeeded');
});

function lastJob(): string | undefined {
  let last: string | undefined;
  sluice.simulator.log.visit(0, (segment, index) => {
    last = segment.clientRequestId[index]!.split('/')[0];
    return true;
  });
  return last;
}
