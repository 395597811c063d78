import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { otherKey } from '../harness/test-settings.ts';
import { jobOf, submit, untilCalled } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());

const jobRoutes: [method: string, suffix: string][] = [
  ['GET', ''],
  ['GET', '/result'],
  ['GET', '/events'],
  ['POST', '/cancel'],
];
const rival = { authorization: `Bearer ${otherKey}` };
const ask = (method: string, path: string, headers: Record<string, string>) =>
  method === 'GET' ? sluice.get(path, headers) : sluice.post(path, '', headers);

test('404: another tenant’s job does not exist on any route, waiting or not', async () => {
  const running = await submit(sluice, chat('secret', { hang: true }));
  await untilCalled(sluice, running);
  const done = (await sluice.post('/v1/chat/completions', chat('secret'))).headers.get('x-sluice-job-id')!;
  const unknown = `job_${'0'.repeat(32)}`;
  for (const [method, suffix] of jobRoutes) {
    for (const id of [running, done]) {
      for (const prefer of ['wait=20', 'return=minimal']) {
        const foreign = await ask(method, `/v1/jobs/${id}${suffix}`, { ...rival, prefer });
        const none = await ask(method, `/v1/jobs/${unknown}${suffix}`, { ...rival, prefer });
        expect(foreign.status).toBe(404);
        const bodies = [await foreign.text(), await none.text()].map((text) =>
          text.replaceAll(/(job|req)_[0-9a-f]{32}/g, '$1'),
        );
        expect(bodies[0]).toBe(bodies[1]);
      }
    }
  }
  expect((await jobOf(sluice, running)).status).toBe('running');
  await sluice.post(`/v1/jobs/${running}/cancel`, '');
});

test('a list holds the caller’s own jobs only, and a foreign cursor finds nothing', async () => {
  const own = await submit(sluice, chat());
  const listed = (await (await sluice.get('/v1/jobs', rival)).json()) as { data: unknown[] };
  expect(listed.data).toEqual([]);
  const after = (await (await sluice.get(`/v1/jobs?after=${own}`, rival)).json()) as { data: unknown[] };
  expect(after.data).toEqual([]);
});

test('404: what cannot be a job id', async () => {
  for (const id of [
    'x',
    'job_',
    `job_${'0'.repeat(31)}`,
    `JOB_${'0'.repeat(32)}`,
    `job_${'0'.repeat(33)}`,
    'a%7Db',
    '*',
    '%00',
    '..%2f..%2fetc',
    `job_${'0'.repeat(32)}%0a`,
  ]) {
    for (const [method, suffix] of jobRoutes) {
      const response = await ask(method, `/v1/jobs/${id}${suffix}`, { prefer: 'wait=20' });
      expect([response.status, response.headers.get('content-type')], `${method} ${id}${suffix}`).toEqual([
        404,
        'application/problem+json; charset=utf-8',
      ]);
      expect(await response.json()).toMatchObject({ code: 'job_not_found' });
    }
  }
});
