import { afterAll, beforeAll, expect, test } from 'vitest';
import { summarize } from '../../loadtest/simulator/arrivals/summary.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());

test('an awaited call answers with the provider’s own bytes, and its job shows the same', async () => {
  const response = await sluice.post('/v1/chat/completions', chat('first'));
  const body = await response.text();
  expect(response.status).toBe(200);
  const id = response.headers.get('x-sluice-job-id')!;
  const result = await sluice.get(`/v1/jobs/${id}/result`);
  expect(await result.text()).toBe(body);

  expect(summarize(sluice.simulator.log).total).toBe(1);
});
