import { afterEach, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { FaultSystem, post } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const count = 10;

test('a worker that sleeps past its lease: another one answers, and what the first brings late is recorded as wasted', async () => {
  system = await FaultSystem.start({
    jobs: { lease_ms: 2_000, takeover_grace_ms: 0, busy_recheck_ms: 300 },
    workers: { lock_ms: 5_000, stalled_check_ms: 500 },
  });
  const faults = system;
  const [ingress, sleeper] = await Promise.all([faults.ingress(), faults.worker()]);
  const answers = Array.from({ length: count }, async (_each, index) => {
    const response = await post(
      ingress,
      '/v1/chat/completions',
      // Long enough for a worker that has just started to take the others beside the first.
      chat(`call ${index}`, { delayMs: 3_000, outputTokens: 4 }),
    );
    return {
      status: response.status,
      job: response.headers.get('x-sluice-job-id')!,
      text: await response.text(),
    };
  });
  await until('all calls are in flight', () => faults.arrivals.inFlight === count);
  sleeper.child.kill('SIGSTOP');
  await faults.worker();
  const done = await Promise.all(answers);
  const stored = () =>
    Promise.all(done.map(({ job }) => faults.store.hmget(keys.job('acme', job), 'state', 'body', 'head')));
  const before = await stored();
  sleeper.child.kill('SIGCONT');
  await until('the late answers are in the ledger', async () => (await faults.ledger()).length === 2 * count);

  expect(done.map(({ status }) => status)).toEqual(Array(count).fill(200));
  expect(before.map(([, body]) => body)).toEqual(done.map(({ text }) => text));
  expect(await stored()).toEqual(before);
  expect(await faults.discrepancies()).toEqual([]);
  const rows = await faults.ledger();
  for (const kind of ['settled', 'wasted']) {
    expect(new Set(rows.filter((row) => row.kind === kind).map(({ job }) => job))).toEqual(
      new Set(done.map(({ job }) => job)),
    );
  }
  expect(rows.reduce((sum, { outputTokens }) => sum + outputTokens, 0)).toBe(faults.arrivals.outputTokens);
  expect(faults.arrivals.total).toBe(2 * count);
  expect(await faults.depth()).toBe(0);
  // The sleeper is not harmed by it: it goes on working.
  expect(sleeper.child.exitCode).toBeNull();
});
