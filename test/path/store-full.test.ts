import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { jobOf, submit, untilCalled } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());

test('503: near Redis’ memory limit new calls are refused, running ones end, and reading goes on', async () => {
  const running = await submit(sluice, chat('runs', { delayMs: 2_500 }));
  await untilCalled(sluice, running);
  const redis = sluice.redis.connect();
  const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))![1]);
  await redis.config('SET', 'maxmemory', String(Math.floor(used * 1.2)));

  const refused = await until('refused', async () => {
    const response = await sluice.post('/v1/chat/completions', chat());
    return response.status === 503 ? response : undefined;
  });
  expect(await refused.json()).toMatchObject({ error: { code: 'store_full', type: 'server_error' } });
  expect([refused.headers.get('retry-after'), refused.headers.get('x-should-retry')]).toEqual(['5', 'true']);
  expect((await sluice.get(`/v1/jobs/${running}/result`, { prefer: 'wait=20' })).status).toBe(200);
  expect((await jobOf(sluice, running)).status).toBe('succeeded');

  await redis.config('SET', 'maxmemory', '0');
  redis.disconnect();
  await until(
    'accepted again',
    async () => (await sluice.post('/v1/chat/completions', chat())).status === 200,
  );
});
