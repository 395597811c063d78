import { afterEach, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { FaultSystem, type IngressProcess, submit, submitAll } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const arrays = 10;
const perArray = 1_000;
const answer = { outputTokens: 2, delayMs: 40 };
/** What Redis had not told anybody when it died is mended at the sweeper's first look. */
const settings = { jobs: { sweep_first_ms: 2_000 }, workers: { lock_ms: 10_000, stalled_check_ms: 2_000 } };

test('kill -9 of Redis with 10,000 accepted jobs, some of them running: none is lost and none is asked twice', async () => {
  system = await FaultSystem.start(settings);
  const faults = system;
  const ingress = await faults.ingress();
  const jobs: string[] = [];
  const bodies = Array.from({ length: perArray }, (_each, index) => chat(`job ${index}`, answer));
  for (let array = 0; array < arrays; array++) jobs.push(...(await submit(ingress, bodies)));
  await faults.worker();
  await until(
    'some have ended and some are in flight',
    () => faults.arrivals.total > 2_000 && faults.arrivals.inFlight > 20,
  );
  const finishedBefore = (await faults.counts(jobs)).succeeded ?? 0;
  await faults.redis.kill();
  await until('the calls in flight have ended without Redis', () => faults.arrivals.inFlight === 0);
  await faults.redis.start();
  const startedAt = systemClock.monotonicMs();
  expect(await faults.ended(jobs, 240_000)).toEqual({ succeeded: arrays * perArray });
  console.log(
    `Redis died after ${finishedBefore}+ of ${jobs.length} jobs; the rest ended within ${Math.round(systemClock.monotonicMs() - startedAt)} ms`,
  );

  expect(finishedBefore).toBeLessThan(jobs.length - 100);
  expect(faults.arrivals.maxCallsPerJob).toBe(1);
  expect(faults.arrivals.distinctJobs).toBe(jobs.length);
  const rows = await faults.ledger();
  expect(rows).toHaveLength(jobs.length);
  expect(new Set(rows.map(({ job }) => job)).size).toBe(jobs.length);
  expect(await faults.depth()).toBe(0);
}, 300_000);

/** Submits arrays until told to stop; the ids of what was answered 202, and how many entries were refused. */
async function submitUntil(
  ingress: IngressProcess,
  stop: AbortSignal,
): Promise<{ accepted: string[]; refused: number }> {
  const accepted: string[] = [];
  let refused = 0;
  const entries = Array.from({ length: 50 }, (_each, index) => ({
    endpoint: '/v1/chat/completions',
    body: chat(`job ${index}`, { outputTokens: 1 }),
  }));
  while (!stop.aborted) {
    for (const { status, job } of await submitAll(ingress, entries)) {
      if (job && status === 202) accepted.push(job.id);
      else refused++;
    }
  }
  return { accepted, refused };
}

test('kill -9 of Redis during submission: every job that was answered 202 is there and ends', async () => {
  system = await FaultSystem.start(settings);
  const faults = system;
  const [ingress] = await Promise.all([faults.ingress(), faults.worker()]);
  const stop = new AbortController();
  const submitting = [1, 2, 3, 4].map(() => submitUntil(ingress, stop.signal));
  await until('many are accepted', async () => (await faults.jobIds()).length > 800);
  await faults.redis.kill();
  await faults.redis.start();
  const before = (await faults.jobIds()).length;
  await until('it goes on', async () => (await faults.jobIds()).length > before + 200);
  stop.abort();
  const results = await Promise.all(submitting);
  const accepted = results.flatMap((each) => each.accepted);
  const refused = results.reduce((sum, each) => sum + each.refused, 0);
  expect(await faults.ended(accepted)).toEqual({ succeeded: accepted.length });
  console.log(`${accepted.length} answered 202 and all there; ${refused} refused while Redis was away`);

  const all = await faults.jobIds();
  // What was accepted in a reply that never came is a job like any other.
  await faults.ended(all);
  expect(faults.arrivals.maxCallsPerJob).toBe(1);
  expect(refused).toBeGreaterThan(0);
});
