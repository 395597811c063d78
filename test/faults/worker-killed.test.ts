import { afterEach, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { keys } from '#shared/redis/keys.ts';
import { FaultSystem, type IngressProcess, post, submit } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import type { SettingsOverrides } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const inFlight = 40;

const atMostOnce = { 'x-sluice-delivery': 'at_most_once' };

async function begin(
  settings: SettingsOverrides = {},
): Promise<{ system: FaultSystem; ingress: IngressProcess }> {
  system = await FaultSystem.start(settings);
  // The first requests are never answered, so that all are in flight when the worker dies; later ones are, at once.
  system.simulator.faults.add({ match: { promptContains: 'held' }, times: inFlight, fault: { hang: true } });
  return { system, ingress: await system.ingress() };
}

const calls = (ingress: IngressProcess, headers: Record<string, string>) =>
  Array.from({ length: inFlight }, async (_each, index) => {
    const response = await post(ingress, '/v1/chat/completions', chat(`held ${index}`), headers);
    return {
      status: response.status,
      job: response.headers.get('x-sluice-job-id')!,
      text: await response.text(),
    };
  });

async function sameInStore(faults: FaultSystem, answers: { job: string; text: string }[]): Promise<void> {
  for (const { job, text } of answers)
    expect(await faults.store.hget(keys.job('acme', job), 'body')).toBe(text);
}

async function expectNothingHeld(faults: FaultSystem, settledRows: number): Promise<void> {
  const rows = await faults.ledger();
  expect(rows.filter(({ kind }) => kind === 'settled')).toHaveLength(settledRows);
  expect(new Set(rows.map(({ job }) => job)).size).toBe(settledRows);
  expect(await faults.depth()).toBe(0);
}

test('kill -9 of a worker with calls in flight: another worker answers all of them at once', async () => {
  const { system: faults, ingress } = await begin();
  const victim = await faults.worker();
  const answers = calls(ingress, {});
  await until('all calls are in flight', () => faults.arrivals.inFlight === inFlight);
  await faults.worker();
  const killedAt = systemClock.monotonicMs();
  await victim.end('SIGKILL');
  const done = await Promise.all(answers);
  console.log(`recovered ${inFlight} calls within ${Math.round(systemClock.monotonicMs() - killedAt)} ms`);

  expect(done.map(({ status }) => status)).toEqual(Array(inFlight).fill(200));
  await sameInStore(faults, done);
  expect(faults.arrivals.total).toBe(2 * inFlight);
  expect(faults.arrivals.maxCallsPerJob).toBe(2);
  await expectNothingHeld(faults, inFlight);
});

test('kill -9 of the only worker: its jobs end after it is started again, in at most 90 s', async () => {
  const { system: faults, ingress } = await begin();
  const victim = await faults.worker();
  const answers = calls(ingress, {});
  await until('all calls are in flight', () => faults.arrivals.inFlight === inFlight);
  const killedAt = systemClock.monotonicMs();
  await victim.end('SIGKILL');
  await faults.worker();
  const done = await Promise.all(answers);
  const tookMs = systemClock.monotonicMs() - killedAt;
  console.log(`restarted and recovered ${inFlight} calls within ${Math.round(tookMs)} ms`);

  expect(tookMs).toBeLessThan(90_000);
  expect(done.map(({ status }) => status)).toEqual(Array(inFlight).fill(200));
  await sameInStore(faults, done);
  expect(faults.arrivals.total - inFlight).toBeLessThanOrEqual(inFlight);
  await expectNothingHeld(faults, inFlight);
});

test('kill -9 of a worker under at_most_once: every caller is told that the outcome is unknown, and nothing is asked twice', async () => {
  const { system: faults, ingress } = await begin();
  const victim = await faults.worker();
  const answers = calls(ingress, atMostOnce);
  await until('all calls are in flight', () => faults.arrivals.inFlight === inFlight);
  await victim.end('SIGKILL');
  await faults.worker();
  const done = await Promise.all(answers);

  expect(done.map(({ status }) => status)).toEqual(Array(inFlight).fill(502));
  expect(
    new Set(done.map(({ text }) => (JSON.parse(text) as { error: { code: string } }).error.code)),
  ).toEqual(new Set(['outcome_unknown']));
  expect(await faults.counts(done.map(({ job }) => job))).toEqual({ outcome_unknown: inFlight });
  expect(faults.arrivals.total).toBe(inFlight);
  await expectNothingHeld(faults, 0);
});

test('a worker that died on another machine: its jobs run again when their leases have ended', async () => {
  const { system: faults, ingress } = await begin({
    jobs: { lease_ms: 2_000, takeover_grace_ms: 500, busy_recheck_ms: 300 },
    workers: { lock_ms: 5_000, stalled_check_ms: 500 },
  });
  const victim = await faults.worker();
  const jobs = await submit(
    ingress,
    Array.from({ length: inFlight }, (_each, index) => chat(`held ${index}`)),
  );
  const careful = await submit(ingress, [chat('careful', { hang: true })], { delivery: 'at_most_once' });
  await until('all calls are in flight', () => faults.arrivals.inFlight === inFlight + 1);
  const [workerId] = await faults.store.hkeys(keys.workers());
  await faults.store.hset(
    keys.workers(),
    workerId!,
    JSON.stringify({ host: 'elsewhere', pid: 1, startTicks: '1' }),
  );
  const killedAt = systemClock.monotonicMs();
  await victim.end('SIGKILL');
  await faults.worker();
  expect(await faults.ended(jobs)).toEqual({ succeeded: inFlight });
  expect(await faults.ended(careful)).toEqual({ outcome_unknown: 1 });
  console.log(
    `lease path: recovered within ${Math.round(systemClock.monotonicMs() - killedAt)} ms (lock 5 s, lease 2 s)`,
  );

  expect(faults.arrivals.total).toBe(2 * inFlight + 1);
  await expectNothingHeld(faults, inFlight);
});
