import { afterEach, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { FaultSystem, submit } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const concurrency = 40;
const jobCount = 3 * concurrency;
const faultMs = 3_000;
const frozenMs = 5_000;

/** Starts jobs of which a third is in flight, and answers once the fault is on; then lets Redis recover. */
async function finishDuring(
  fault: (faults: FaultSystem) => Promise<void>,
  recovery: (faults: FaultSystem) => Promise<void>,
  lastsMs = faultMs,
): Promise<FaultSystem> {
  system = await FaultSystem.start({
    jobs: { sweep_first_ms: 2_000 },
    workers: { lock_ms: 6_000, stalled_check_ms: 500 },
    providers: { openai: { pools: { chat: { concurrency } } } },
  });
  const faults = system;
  const [ingress] = await Promise.all([faults.ingress(), faults.worker()]);
  await faults.worker();
  const bodies = Array.from({ length: jobCount }, (_each, index) =>
    chat(`job ${index}`, { delayMs: 1_500 + (index % 7) * 200, outputTokens: 3 }),
  );
  const jobs = await submit(ingress, bodies);
  await until('many calls are in flight', () => faults.arrivals.inFlight > concurrency);
  await fault(faults);
  await until('calls end during the fault', () => faults.arrivals.inFlight < concurrency);
  await systemClock.sleep(lastsMs);
  const during = faults.arrivals;
  await recovery(faults);
  const recoveredAt = systemClock.monotonicMs();
  expect(await faults.ended(jobs)).toEqual({ succeeded: jobCount });
  console.log(
    `${during.total} calls when it ended, ${jobCount} jobs done ${Math.round(systemClock.monotonicMs() - recoveredAt)} ms later`,
  );
  return faults;
}

async function expectPaidOnce(faults: FaultSystem): Promise<void> {
  expect(faults.arrivals.total).toBe(jobCount);
  expect(faults.arrivals.maxCallsPerJob).toBe(1);
  const rows = await faults.ledger();
  expect(rows.every(({ kind }) => kind === 'settled')).toBe(true);
  expect(rows).toHaveLength(jobCount);
  expect(new Set(rows.map(({ job }) => job)).size).toBe(jobCount);
  expect(rows.reduce((sum, { outputTokens }) => sum + outputTokens, 0)).toBe(faults.arrivals.outputTokens);
  expect(rows.reduce((sum, { inputTokens }) => sum + inputTokens, 0)).toBe(faults.arrivals.inputTokens);
  expect(await faults.depth()).toBe(0);
  expect(await faults.discrepancies()).toEqual([]);
}

test('answers that come while Redis is read-only are stored afterwards, and no call is made again', async () => {
  const readOnly = async ({ store }: FaultSystem) => void (await store.replicaof('127.0.0.1', '1'));
  const faults = await finishDuring(readOnly, async ({ store }) => void (await store.replicaof('NO', 'ONE')));
  await expectPaidOnce(faults);
});

test('answers that come while Redis is out of memory are stored at once, and no call is made again', async () => {
  const fill = async ({ store }: FaultSystem) => {
    const used = Number(/used_memory:(\d+)/.exec(await store.info('memory'))![1]);
    await store.config('SET', 'maxmemory', String(used - 1));
  };
  const faults = await finishDuring(
    fill,
    async ({ store }) => void (await store.config('SET', 'maxmemory', '0')),
  );
  await expectPaidOnce(faults);
});

test('answers that come while Redis does not react are stored afterwards, and no call is made again', async () => {
  const faults = await finishDuring(
    async ({ redis }) => redis.signal('SIGSTOP'),
    async ({ redis }) => redis.signal('SIGCONT'),
    frozenMs,
  );
  await expectPaidOnce(faults);
});
