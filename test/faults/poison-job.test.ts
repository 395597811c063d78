import { afterEach, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { FaultSystem, get, submit } from '../harness/fault-system.ts';
import type { ServiceProcess } from '../harness/processes.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const neighbours = 8;
const crashesMax = 3;
const waitMs = 60_000;

/** Kills the worker each time the provider sees the poisoned job, and starts another. Returns the kills. */
async function killWhenever(faults: FaultSystem, poison: string, first: ServiceProcess): Promise<number> {
  let worker = first;
  let kills = 0;
  const killed = async () => (await faults.states([poison]))[0] === 'failed';
  for (;;) {
    const seen = await until(
      'the poisoned job arrives or has failed',
      async () => {
        if (faults.arrivalsOf(poison).length > kills) return 'arrived';
        return (await killed()) ? 'failed' : undefined;
      },
      waitMs,
    );
    if (seen === 'failed') return kills;
    kills++;
    await worker.end('SIGKILL');
    worker = await faults.worker();
  }
}

test('a job that kills its worker fails as worker_crashed after three of them, and its neighbours all succeed', async () => {
  system = await FaultSystem.start();
  const faults = system;
  const [ingress, worker] = await Promise.all([faults.ingress(), faults.worker()]);
  // The neighbours are in flight at every crash: without care they would reach the limit together with the poison.
  const slow = chat('neighbour', { delayMs: 1_500, outputTokens: 2 });
  const good = await submit(
    ingress,
    Array.from({ length: neighbours }, () => slow),
  );
  await until('the neighbours are in flight', () => faults.arrivals.inFlight === neighbours);
  const [poison] = await submit(ingress, [chat('poison', { hang: true })]);
  const kills = await killWhenever(faults, poison!, worker);

  expect(kills).toBe(crashesMax);
  expect(await (await get(ingress, `/v1/jobs/${poison}`)).json()).toMatchObject({
    status: 'failed',
    error: { code: 'worker_crashed' },
  });
  expect(faults.arrivalsOf(poison!)).toHaveLength(crashesMax);
  expect(await faults.ended(good, waitMs)).toEqual({ succeeded: neighbours });
  const crashes = await Promise.all(
    good.map(async (job) => Number(await faults.store.hget(keys.job('acme', job), 'crashes'))),
  );
  console.log(`crashes the neighbours had been beside: ${crashes.join(' ')}`);
  // Otherwise they were not in danger, and the test would show nothing.
  expect(Math.max(...crashes)).toBe(crashesMax - 1);
  expect(faults.arrivals.total).toBeLessThanOrEqual(crashesMax * (neighbours + 1));
});
