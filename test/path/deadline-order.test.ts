import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { PoolQueue } from '#shared/queue/pool-queue.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt, submit, untilCalled, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    settings: { providers: { openai: { pools: { chat: { concurrency: 1 } } } } },
  });
});
afterAll(() => sluice.stop());

/** The order in which the provider was called for these jobs. */
function orderOf(named: Record<string, string>): string[] {
  const names = new Map(Object.entries(named).map(([name, id]) => [id, name]));
  const called = arrivalsAt(sluice.simulator).map((each) => names.get(each.clientRequestId.split('/')[0]!));
  return called.filter((name) => name !== undefined);
}

async function release(blocker: string, ids: readonly string[]): Promise<void> {
  await sluice.post(`/v1/jobs/${blocker}/cancel`, '');
  await Promise.all(ids.map((id) => untilStatus(sluice, id, 'succeeded')));
}

test('a batch job near its deadline rises before the others of its class, and before none of a better class', async () => {
  const blocker = await submit(sluice, chat('hangs', { hang: true }));
  await untilCalled(sluice, blocker);
  const batch = { priority: 'batch' };
  const named = {
    elder: await submit(sluice, chat('elder'), batch),
    far: await submit(sluice, chat('far'), { ...batch, deadline_seconds: 7_200 }),
    near: await submit(sluice, chat('near'), { ...batch, deadline_seconds: 3_600 }),
    younger: await submit(sluice, chat('younger'), batch),
    interactive: await submit(sluice, chat('interactive')),
  };
  await release(blocker, Object.values(named));
  expect(orderOf(named)).toEqual(['interactive', 'near', 'far', 'elder', 'younger']);
});

test('a job whose ticket was lost gets one with its old deadline', async () => {
  const blocker = await submit(sluice, chat('hangs', { hang: true }));
  await untilCalled(sluice, blocker);
  const elder = await submit(sluice, chat('elder'), { deadline_seconds: 3_600 });
  const younger = await submit(sluice, chat('younger'), { deadline_seconds: 3_700 });
  const connection = sluice.redis.connect();
  const queue = new PoolQueue({ provider: 'openai', pool: 'chat' }, connection, systemClock);
  await queue.start();
  await queue.remove(elder);
  expect(await queue.state(elder)).toBe('unknown');
  await until('the job has a ticket again', async () => (await queue.state(elder)) !== 'unknown');
  await queue.stop();
  connection.disconnect();
  await release(blocker, [elder, younger]);
  expect(orderOf({ elder, younger })).toEqual(['elder', 'younger']);
});
