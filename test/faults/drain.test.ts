import { afterEach, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { keys } from '#shared/redis/keys.ts';
import { FaultSystem, post, submit } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const running = 30;

test('SIGTERM of a worker: running calls finish, it takes no more, and ends with code 0', async () => {
  system = await FaultSystem.start({
    workers: { drain_ms: 20_000 },
    providers: { openai: { pools: { chat: { concurrency: running } } } },
  });
  const faults = system;
  const [ingress, worker] = await Promise.all([faults.ingress(), faults.worker()]);
  const jobs = await submit(
    ingress,
    Array.from({ length: 2 * running }, () => chat('slow', { delayMs: 2_000 })),
  );
  await until('the worker is full', () => faults.arrivals.inFlight === running);
  const claude = {
    model: 'claude-sonnet-5',
    max_tokens: 5,
    messages: [{ role: 'user', content: 'another pool' }],
  };
  const ending = worker.end('SIGTERM');
  await until('it stops', () => worker.output.includes('"stopping"'));
  const late = await submit(ingress, [claude], { endpoint: '/v1/messages' });
  expect(await ending).toBe(0);

  expect(await faults.counts(jobs)).toEqual({ succeeded: running, queued: running });
  expect(await faults.counts(late)).toEqual({ queued: 1 });
  expect(faults.arrivals.total).toBe(running);
  expect(faults.arrivals.aborted).toBe(0);
  expect(await faults.store.hlen(keys.workers())).toBe(0);
  expect(worker.output).not.toContain('"level":50');
  await faults.worker();
  expect(await faults.ended([...jobs, ...late])).toEqual({ succeeded: 2 * running + 1 });
  expect(faults.arrivals.maxCallsPerJob).toBe(1);
});

test('a worker whose calls outlast the drain ends with them, and their jobs run elsewhere at once', async () => {
  system = await FaultSystem.start({ workers: { drain_ms: 500 } });
  const faults = system;
  const [ingress, worker] = await Promise.all([faults.ingress(), faults.worker()]);
  faults.simulator.faults.add({ match: { promptContains: 'held' }, times: running, fault: { hang: true } });
  const jobs = await submit(
    ingress,
    Array.from({ length: running }, () => chat('held')),
  );
  await until('all are in flight', () => faults.arrivals.inFlight === running);
  await faults.worker();
  expect(await worker.end('SIGTERM')).toBe(0);
  const endedAt = systemClock.monotonicMs();
  expect(await faults.ended(jobs)).toEqual({ succeeded: running });
  console.log(`cut off by the drain, done ${Math.round(systemClock.monotonicMs() - endedAt)} ms later`);
  expect(faults.arrivals.maxCallsPerJob).toBe(2);
});

/** SIGTERM to an ingress that holds ten calls of `delayMs`; the statuses its callers see, 0 for a cut connection. */
async function statusesAcrossStop(
  faults: FaultSystem,
  delayMs: number,
): Promise<{ statuses: number[]; code: number | null }> {
  const [ingress] = await Promise.all([faults.ingress(), faults.worker()]);
  const headers = { 'x-sluice-on-disconnect': 'continue' };
  const call = () =>
    post(ingress, '/v1/chat/completions', chat('held', { delayMs }), headers).then(
      ({ status }) => status,
      () => 0,
    );
  const calls = Array.from({ length: 10 }, call);
  await until('all are in flight', () => faults.arrivals.inFlight === 10);
  const code = ingress.end('SIGTERM');
  const statuses = await Promise.all(calls);
  expect(await faults.ended(await faults.jobIds())).toEqual({ succeeded: 10 });
  expect(faults.arrivals.maxCallsPerJob).toBe(1);
  return { statuses, code: await code };
}

test('SIGTERM of an ingress: held calls that end within the drain are answered, and then it ends with code 0', async () => {
  // Longer than a test may take: connections that clients keep for their next call must not be waited for.
  system = await FaultSystem.start({ http: { drain_ms: 600_000 }, workers: { stop_timeout_ms: 600_000 } });
  expect(await statusesAcrossStop(system, 1_500)).toEqual({ statuses: Array(10).fill(200), code: 0 });
});

test('SIGTERM of an ingress: held calls that outlast the drain are told 503, and their jobs end all the same', async () => {
  system = await FaultSystem.start({ http: { drain_ms: 1_000 } });
  expect(await statusesAcrossStop(system, 4_000)).toEqual({ statuses: Array(10).fill(503), code: 0 });
});

test('SIGTERM while Redis is away: ingress, worker and webhook service end with code 0, and no part of them waits for it', async () => {
  system = await FaultSystem.start();
  const faults = system;
  const services = await Promise.all([faults.ingress(), faults.worker(), faults.webhook()]);
  await faults.redis.kill();
  for (const { operationsPort } of services) {
    await until(
      'it has seen it',
      async () => (await fetch(`http://127.0.0.1:${operationsPort}/readyz`)).status === 503,
    );
  }
  const codes = await Promise.all(services.map((service) => service.end('SIGTERM')));
  expect(codes).toEqual([0, 0, 0]);
  for (const { output } of services) expect(output).not.toContain('did not stop');
});
