import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt, callsOf, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());
beforeEach(() => sluice.simulator.log.clear());

const slow = chat('slow', { delayMs: 1_000 });

/** Calls, and hangs up as soon as the provider is called; returns the id of the job. */
async function callAndHangUp(body: unknown, headers: Record<string, string> = {}): Promise<string> {
  const hangUp = new AbortController();
  const call = fetch(`${sluice.url}/v1/chat/completions`, {
    method: 'POST',
    signal: hangUp.signal,
    body: JSON.stringify(body),
    headers: { authorization: `Bearer ${testKey}`, 'content-type': 'application/json', ...headers },
  });
  const arrival = await until('the provider is called', () => arrivalsAt(sluice.simulator)[0]);
  hangUp.abort();
  await expect(call).rejects.toThrow();
  await until(
    'the ingress sees it',
    async () => (await sluice.metrics.openCalls.get()).values[0]?.value === 0,
  );
  return arrival.clientRequestId.split('/')[0]!;
}

test('a caller that hangs up cancels its job, and the provider request is aborted', async () => {
  const id = await callAndHangUp(chat('hangs', { hang: true }));
  await untilStatus(sluice, id, 'cancelled');
  await until('aborted at the provider', () => callsOf(sluice, id)[0]!.aborted);
  expect(callsOf(sluice, id)).toHaveLength(1);
});

test('x-sluice-on-disconnect: continue leaves the job running, and its result can be read', async () => {
  const id = await callAndHangUp(slow, { 'x-sluice-on-disconnect': 'continue' });
  const result = await sluice.get(`/v1/jobs/${id}/result`, { prefer: 'wait=20' });
  expect([result.status, callsOf(sluice, id)[0]!.aborted]).toEqual([200, false]);
});

test('a caller with an Idempotency-Key may come back: its job goes on, and the same call joins it', async () => {
  const headers = { 'idempotency-key': 'hung-up' };
  const id = await callAndHangUp(slow, headers);
  const again = await sluice.post('/v1/chat/completions', slow, headers);
  expect([again.status, again.headers.get('x-sluice-job-id'), arrivalsAt(sluice.simulator).length]).toEqual([
    200,
    id,
    1,
  ]);
});

test('a job that somebody else awaits outlives the caller that made it', async () => {
  const hangUp = new AbortController();
  const call = fetch(`${sluice.url}/v1/chat/completions`, {
    method: 'POST',
    signal: hangUp.signal,
    body: JSON.stringify(slow),
    headers: { authorization: `Bearer ${testKey}`, 'content-type': 'application/json' },
  });
  const arrival = await until('the provider is called', () => arrivalsAt(sluice.simulator)[0]);
  const id = arrival.clientRequestId.split('/')[0]!;
  const second = sluice.get(`/v1/jobs/${id}/result`, { prefer: 'wait=20' });
  await until('both wait', async () => (await sluice.metrics.openCalls.get()).values[0]?.value === 2);
  hangUp.abort();
  await expect(call).rejects.toThrow();
  expect((await second).status).toBe(200);
  expect(callsOf(sluice, id)).toMatchObject([{ aborted: false, status: 200 }]);
});
