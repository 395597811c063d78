import { afterAll, beforeAll, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { get, post } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { modelA, modelB, RoutedSystem } from './routed-system.ts';

let system: RoutedSystem;
const targets = [{ model: `openai/${modelA}`, weight: 1 }];
const fallbacks = [{ model: `second/${modelB}`, weight: 1 }];

beforeAll(async () => {
  system = await RoutedSystem.start(
    {
      jobs: { lease_beat_ms: 500 },
      providers: {
        openai: {
          pools: {
            chat: {
              concurrency: 64,
              ceilings: { concurrency: 2 },
              breaker: { failures_max: 3, open_ms: 60_000 },
            },
          },
        },
      },
      routes: {
        ab: { targets, fallbacks, retries: 0 },
        impatient: { targets, fallbacks, wait_over_ms: 500 },
        wary: { targets, fallbacks, retries: 0, on: ['server', 'breaker_open'] },
      },
    },
    2,
  );
});
afterAll(() => system?.stop());

const submit = async (model: string, text: string): Promise<string> => {
  const body = { ...chat(text), model };
  const response = await post(system.ingress, '/v1/chat/completions', body, { prefer: 'respond-async' });
  return ((await response.json()) as { id: string }).id;
};
const resultOf = async (id: string) => (await get(system.ingress, `/v1/jobs/${id}/result`)).status;
const ticketOf = (provider: string, id: string) =>
  system.faults.store.exists(`${keys.queuePrefix(provider)}:chat:${id}`);

test('calls that wait too long behind a provider that hangs are answered by the other one, with their age and identity', async () => {
  system.misbehave(modelA, 'hold', { hang: true }, 2);
  const held = [await submit(modelA, 'hold 1'), await submit(modelA, 'hold 2')];
  await until('A is full', () => system.faults.arrivals.inFlight === 2);
  const ids = await Promise.all(
    Array.from({ length: 20 }, (_, index) => submit('impatient', `waits ${index}`)),
  );
  // The other pool is not slowed by what waits here.
  const straight = await system.call(`second/${modelB}`, 'straight to B');
  expect(straight).toMatchObject({ status: 200, provider: 'second', attempts: 1 });
  expect(await system.faults.ended(ids)).toEqual({ succeeded: 20 });
  for (const id of ids) {
    expect(await system.story(id)).toEqual(['openai wait_over', 'second succeeded']);
    expect(system.arrivals(id)).toHaveLength(1);
    expect(await ticketOf('openai', id)).toBe(0);
    const { status, provider, model, attempts } = await system.job(id);
    expect({ status, provider, model }).toEqual({ status: 'succeeded', provider: 'second', model: modelB });
    expect(attempts[0]).toMatchObject({ credential: '', status: null, pool: 'chat', model: modelA });
    expect(await resultOf(id)).toBe(200);
  }
  for (const id of held) await post(system.ingress, `/v1/jobs/${id}/cancel`, {});
  await system.faults.ended(held);
});

test('a ticket whose job has moved finds that out, and the job runs once, in its new pool', async () => {
  // A worker that was killed after the record said so: the record is at the other target, the only ticket is here.
  system.misbehave(modelA, 'hold', { hang: true }, 2);
  const held = [await submit(modelA, 'hold 3'), await submit(modelA, 'hold 4')];
  await until('A is full', () => system.faults.arrivals.inFlight === 2);
  const id = await submit('ab', 'moved without a ticket');
  const record = keys.job('acme', id);
  await system.faults.store.hset(record, { target: 1, provider: 'second', pool: 'chat', model: modelB });
  await post(system.ingress, `/v1/jobs/${held[0]}/cancel`, {});
  expect(await system.faults.ended([id])).toEqual({ succeeded: 1 });
  expect(system.arrivals(id).map(({ model }) => model)).toEqual([modelB]);
  await until(
    'no ticket is left',
    async () => (await ticketOf('openai', id)) + (await ticketOf('second', id)) === 0,
  );

  // Killed before that: the sweeper finds the job without any ticket.
  system.misbehave(modelA, 'hold', { hang: true }, 1);
  held.push(await submit(modelA, 'hold 5'));
  await until('A is full again', () => system.faults.arrivals.inFlight === 2);
  const lost = await submit('ab', 'moved, and no ticket at all');
  await system.faults.store.zrem(`${keys.queuePrefix('openai')}:chat:prioritized`, lost);
  await system.faults.store.hset(keys.job('acme', lost), {
    target: 1,
    provider: 'second',
    pool: 'chat',
    model: modelB,
  });
  expect(await system.faults.ended([lost])).toEqual({ succeeded: 1 });
  expect(system.arrivals(lost).map(({ model }) => model)).toEqual([modelB]);
  for (const each of held.slice(1)) await post(system.ingress, `/v1/jobs/${each}/cancel`, {});
  await system.faults.ended(held);
});

test('when failures shut A, its calls are sent on at once, those that wait leave, and new ones begin at B', async () => {
  system.misbehave(modelA, 'broken', { status: 500 }, 3);
  const first = await Promise.all([0, 1, 2].map((index) => system.call('wary', `broken ${index}`)));
  for (const answer of first) expect(answer).toMatchObject({ status: 200, provider: 'second', attempts: 2 });
  await until('new calls begin at B', async () => {
    const answer = await system.call('wary', 'after it was shut');
    return answer.status === 200 && answer.attempts === 1 && answer.provider === 'second';
  });
  // Calls that asked for A alone wait for it.
  const loyal = await submit(`openai/${modelA}`, 'loyal');
  expect((await system.job(loyal)).status).toBe('queued');
  expect(await system.story(first[0]!.job)).toEqual(['openai server', 'second succeeded']);
  expect(await system.faults.store.get(keys.depth('acme'))).toBe('1');
});
