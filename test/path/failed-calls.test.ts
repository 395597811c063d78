import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TokenEstimate } from '#shared/contracts/job.ts';
import { fairKeys, keys } from '#shared/redis/keys.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice.stop());

/** How far the calls made in `task` moved the tenant's counter in its pool. */
async function charged<T>(
  task: () => Promise<T>,
  expected: (result: T) => number | Promise<number>,
): Promise<void> {
  const redis = sluice.redis.connect();
  const lane = `${fairKeys(`${keys.queuePrefix('openai')}:chat:`).lane}acme`;
  const counter = async () => Number(await redis.hget(lane, 'counter'));
  const before = await counter();
  const amount = await expected(await task());
  await until(
    'the tenant is charged what it used',
    async () => Math.abs((await counter()) - before - amount) < 1e-6,
  );
  redis.disconnect();
}

interface Answer {
  job: string;
  status: number;
  body: { usage: { prompt_tokens: number; completion_tokens: number } };
}
async function call(text: string, fault?: Record<string, unknown>): Promise<Answer> {
  const response = await sluice.post('/v1/chat/completions', chat(text, fault));
  const job = response.headers.get('x-sluice-job-id')!;
  return { job, status: response.status, body: (await response.json()) as Answer['body'] };
}

test('a call that the provider fails twice, and then answers, is charged once', async () => {
  const match = { promptContains: 'fails twice' };
  sluice.simulator.faults.add({ match, times: 2, fault: { status: 500 } });
  await charged(
    () => call('fails twice'),
    ({ status, body: { usage } }) => {
      expect(status).toBe(200);
      return usage.prompt_tokens + 4 * usage.completion_tokens;
    },
  );
});

test('a call that the provider refuses for good is charged its input', async () => {
  await charged(
    () => call('refused', { status: 400 }),
    async ({ job, status }) => {
      expect(status).toBe(400);
      const redis = sluice.redis.connect();
      const tokens = await redis.hget(keys.job('acme', job), 'tokens');
      redis.disconnect();
      return (JSON.parse(tokens!) as TokenEstimate).input;
    },
  );
});
