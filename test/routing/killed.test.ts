import { afterEach, expect, test } from 'vitest';
import { FaultSystem, post } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';
import { modelA, modelB, twoProviders } from './routed-system.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const calls = 60;

test('kill -9 of a worker while calls move from A to B: each ends once, answered by B, and nothing is held', async () => {
  const targets = [{ model: `openai/${modelA}`, weight: 1 }];
  const fallbacks = [{ model: `second/${modelB}`, weight: 1 }];
  system = await FaultSystem.start(
    twoProviders({
      // A ticket whose claim was lost with the worker waits for its lock.
      workers: { lock_ms: 5_000, stalled_check_ms: 1_000 },
      providers: { openai: { pools: { chat: { breaker: { failures_max: 100_000 } } } } },
      routes: { ab: { targets, fallbacks, retries: 0 } },
    }),
  );
  const { simulator } = system;
  const [ingress, victim] = await Promise.all([system.ingress(), system.worker()]);
  // Failures come one after the other, so that the worker dies before, in and after the moves of some calls.
  for (let index = 0; index < calls; index++)
    simulator.faults.add({
      match: { model: modelA, promptContains: `moves ${index}.` },
      times: 3,
      fault: { status: 500, delayMs: 5 * index },
    });
  const answers = Array.from({ length: calls }, async (_, index) => {
    const response = await post(ingress, '/v1/chat/completions', { ...chat(`moves ${index}.`), model: 'ab' });
    const provider = response.headers.get('x-sluice-provider');
    return { status: response.status, provider, job: response.headers.get('x-sluice-job-id')! };
  });
  const atB = () => system!.arrivals.total > calls + calls / 3;
  await until('some have moved', atB);
  await victim.end('SIGKILL');
  await system.worker();
  const done = await Promise.all(answers);
  expect(done.map(({ status, provider }) => `${status} ${provider}`)).toEqual(
    Array(calls).fill('200 second'),
  );
  const settled = (await system.ledger()).filter(({ kind }) => kind === 'settled');
  expect(settled).toHaveLength(calls);
  expect(new Set(settled.map(({ job }) => job)).size).toBe(calls);
  expect(await system.depth()).toBe(0);
  // One request more than usual at most: the one that the dead worker had under way.
  for (const { job } of done) expect(system.arrivalsOf(job).length).toBeLessThanOrEqual(3);
});
