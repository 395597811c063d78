import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TokenEstimate } from '#shared/contracts/job.ts';
import { keys } from '#shared/redis/keys.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({ settings: { jobs: { learned_refresh_ms: 10 } } });
});
afterAll(() => sluice.stop());

/** Makes a call and returns what it was reckoned with, and what it really used. */
async function call(more: Record<string, unknown>): Promise<{ tokens: TokenEstimate; used: number[] }> {
  const response = await sluice.post('/v1/chat/completions', { ...chat('the same words again'), ...more });
  const { usage } = (await response.json()) as {
    usage: { prompt_tokens: number; completion_tokens: number };
  };
  const redis = sluice.redis.connect();
  const job = keys.job('acme', response.headers.get('x-sluice-job-id')!);
  const tokens = JSON.parse((await redis.hget(job, 'tokens'))!) as TokenEstimate;
  redis.disconnect();
  return { tokens, used: [usage.prompt_tokens, usage.completion_tokens] };
}

test('a tenant that asks for far more than it gets is soon charged what it gets', async () => {
  const first = await call({ max_tokens: 100_000 });
  expect(first.tokens).toMatchObject({ output: 256, max: 100_000 });
  await until('its calls are reckoned as they turn out', async () => {
    const { tokens, used } = await call({ max_tokens: 100_000 });
    expect(tokens.max).toBe(100_000);
    return Math.abs(tokens.output - used[1]!) <= used[1]! / 4;
  });
});
