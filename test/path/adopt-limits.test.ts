import { expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

const limit = (sluice: TestSluice, amount: number) =>
  sluice.simulator.limits.replace({ scopes: [{ limits: [{ dimension: 'requests', amount }] }] });

/** Changes that were adopted, or only reported. */
async function changes(sluice: TestSluice, adopted: boolean): Promise<number> {
  const { values } = await sluice.metrics.limitChanges.get();
  const own = values.filter(({ labels }) => labels.adopted === String(adopted));
  return own.reduce((sum, { value }) => sum + value, 0);
}

async function callUntil(sluice: TestSluice, what: string, isThere: () => Promise<boolean>): Promise<void> {
  await until(what, async () => {
    expect((await sluice.post('/v1/chat/completions', chat())).status).toBe(200);
    return isThere();
  });
}

test('a pool with `ceilings: auto` learns its limits from the answers, and follows them up and down', async () => {
  const sluice = await startSluice({
    settings: { providers: { openai: { pools: { chat: { ceilings: { auto: true } } } } } },
  });
  try {
    for (const [index, amount] of [6_000, 12_000, 3_000].entries()) {
      limit(sluice, amount);
      await callUntil(sluice, `${amount} adopted`, async () => (await changes(sluice, true)) > index);
    }
    expect(await changes(sluice, false)).toBe(0);
    const text = await sluice.metrics.registry.metrics();
    expect(text).toMatch(/sluice_provider_limit\{.*dimension="requests",window="minute"\} 3000/);
  } finally {
    await sluice.stop();
  }
});

test('a limit other than the configured one is reported, and not adopted without `auto`', async () => {
  const sluice = await startSluice({
    settings: { providers: { openai: { pools: { chat: { ceilings: { rpm: 6_000 } } } } } },
  });
  try {
    limit(sluice, 9_000);
    await callUntil(sluice, 'reported', async () => (await changes(sluice, false)) === 1);
    expect(await changes(sluice, true)).toBe(0);
  } finally {
    await sluice.stop();
  }
});
