import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { callsOf, jobOf, submit, untilCalled, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    settings: { providers: { openai: { pools: { chat: { concurrency: 1 } } } } },
  });
});
afterAll(() => sluice.stop());

test('run_at: the job is scheduled and not called before its time', async () => {
  const runAtMs = systemClock.nowMs() + 2_500;
  const id = await submit(sluice, chat('later'), { run_at: new Date(runAtMs).toISOString() });
  expect(await jobOf(sluice, id)).toMatchObject({
    status: 'scheduled',
    wait_reason: 'scheduled',
    started_at: null,
  });
  await untilStatus(sluice, id, 'succeeded');
  expect(callsOf(sluice, id)).toHaveLength(1);
  expect(callsOf(sluice, id)[0]!.atMs).toBeGreaterThanOrEqual(runAtMs);
});

test('run_at as a header schedules a call that is awaited', async () => {
  const runAtMs = systemClock.nowMs() + 1_500;
  const response = await sluice.post('/v1/chat/completions', chat('later'), {
    'x-sluice-run-at': new Date(runAtMs).toISOString(),
  });
  expect(response.status).toBe(200);
  expect(callsOf(sluice, response.headers.get('x-sluice-job-id')!)[0]!.atMs).toBeGreaterThanOrEqual(runAtMs);
});

test('deadline: a job that did not start in time expires and is never called', async () => {
  const blocker = await submit(sluice, chat('hangs', { hang: true }));
  await untilCalled(sluice, blocker);
  const late = await submit(sluice, chat('late'), { deadline_seconds: 1 });
  expect(await untilStatus(sluice, late, 'expired')).toMatchObject({
    attempts: [],
    error: { code: 'expired', status: 504 },
    usage: null,
  });
  const result = await sluice.get(`/v1/jobs/${late}/result`);
  expect([result.status, await result.json()]).toMatchObject([504, { error: { code: 'expired' } }]);
  await sluice.post(`/v1/jobs/${blocker}/cancel`, '');
  expect((await sluice.post('/v1/chat/completions', chat('after'))).status).toBe(200);
  expect(callsOf(sluice, late)).toEqual([]);
});
