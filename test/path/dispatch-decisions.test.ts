import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { submit } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    settings: {
      providers: {
        openai: { pools: { chat: { ceilings: { rpm: 2 }, window_seconds: 2 } } },
      },
    },
  });
});
afterAll(() => sluice.stop());

const decisions = async () =>
  (await sluice.metrics.dispatchDecisions.get()).values.map(({ value, labels }) => ({ ...labels, value }));

test('every dispatch is counted with its tenant, pool and credential, and every wait with what it is for', async () => {
  for (let index = 0; index < 4; index++) await submit(sluice, chat(`call ${index}`));
  const mine = { tenant: 'acme', pool: 'openai/chat' };
  await until('all are granted', async () =>
    (await decisions()).some((each) => each.decision === 'granted' && each.value === 4),
  );
  const counted = await decisions();
  expect(counted).toContainEqual({ ...mine, credential: 'main', decision: 'granted', value: 4 });
  expect(counted.find(({ decision }) => decision === 'rpm')).toMatchObject({ ...mine, credential: 'none' });
});
