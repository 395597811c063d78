import { afterEach, expect, test } from 'vitest';
import type { CallAxes } from '#shared/contracts/job.ts';
import { keys } from '#shared/redis/keys.ts';
import { FaultSystem, type IngressProcess, post, tenant } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const enough = 1_000_000_000;
const atOnce = 20;
const settings = {
  jobs: { lease_ms: 3_000, sweep_first_ms: 1_000, takeover_grace_ms: 500 },
  workers: { lock_ms: 5_000, stalled_check_ms: 500 },
  quotas: { recheck_ms: 500 },
  providers: { openai: { prices: { 'gpt-5-mini': { input: 1, output: 2 } } } },
  customers: {
    [tenant]: {
      limits: [
        { tokens: enough, window: '1h' },
        { requests: enough, window: '1h', per: ['user'] },
        { requests: enough, window: '1Y', calendar: true },
        { concurrency: atOnce, on_full: 'queue' },
      ],
      budgets: [
        { usd: 1_000, reset: '1M' },
        { usd: 1_000, reset: '1Y', calendar: true },
      ],
    },
  },
} as object;

const users = ['ada', 'bob'];

/** Calls that are held open, of which some are cut off; more of them than may run at once. */
function call(ingress: IngressProcess, count: number): Promise<unknown> {
  const body = chat('counted', { delayMs: 60, outputTokens: 40 });
  const calls = Array.from({ length: count }, async (_each, index) => {
    const answer = await post(ingress, '/v1/chat/completions', body, { 'x-sluice-user': users[index % 2]! });
    await answer.text();
  });
  return Promise.allSettled(calls);
}

/** What every window counts, smallest first. */
async function counted({ store }: FaultSystem): Promise<number[]> {
  const names = await store.keys(`${keys.quota(tenant)}c:*`);
  const amounts = names.map(async (name) =>
    Number((await store.type(name)) === 'hash' ? await store.hget(name, 't') : await store.get(name)),
  );
  return (await Promise.all(amounts)).toSorted((one, other) => one - other);
}

/** What the ledger says was used, in the words of those windows. */
async function used({ store }: FaultSystem, jobIds: readonly string[]): Promise<number[]> {
  const rows = await store.xrange(keys.ledger(tenant), '-', '+');
  const sum = (name: string) =>
    rows.reduce((total, [, row]) => total + Number(row[row.indexOf(name) + 1]), 0);
  const axes = await Promise.all(jobIds.map((jobId) => store.hget(keys.job(tenant, jobId), 'axes')));
  const ofUser = users.map(
    (user) => axes.filter((each) => (JSON.parse(each!) as CallAxes).user === user).length,
  );
  const tokens = sum('inputTokens') + sum('outputTokens');
  const nanoUsd = sum('nanoUsd');
  return [...ofUser, jobIds.length, tokens, nanoUsd, nanoUsd].toSorted((one, other) => one - other);
}

test('kill -9 of a worker, of the ingress and of Redis under load: every reservation is zero, budgets say what the ledger says, and nothing is charged twice', async () => {
  system = await FaultSystem.start(settings);
  const faults = system;
  const [first, victim] = await Promise.all([faults.ingress(), faults.worker()]);
  const calls = [call(first, 60)];
  await until('calls run', () => faults.arrivals.inFlight > 5);
  await victim.end('SIGKILL');
  await faults.worker();
  await until('another worker goes on', async () => (await faults.ledger()).length > 20);
  calls.push(call(first, 60));
  const before = (await faults.jobIds()).length;
  await until('calls are being accepted', async () => (await faults.jobIds()).length > before + 5);
  await first.end('SIGKILL');
  const second = await faults.ingress();
  calls.push(call(second, 60));
  await until('calls run again', () => faults.arrivals.inFlight > 5);
  await faults.redis.kill();
  await faults.redis.start();
  await Promise.all(calls);

  const jobIds = await faults.jobIds();
  expect(await faults.ended(jobIds)).toEqual({ succeeded: jobIds.length });
  // Those of the first ingress, and of each later one those that were seen.
  expect(jobIds.length).toBeGreaterThan(70);
  expect(await faults.store.hgetall(`${keys.quota(tenant)}open`), 'no place is held').toEqual({});
  expect(await faults.store.keys(`${keys.quota(tenant)}w:*`), 'nobody stands in line').toEqual([]);
  expect(await faults.depth()).toBe(0);
  const rows = await faults.ledger();
  expect(new Set(rows.filter(({ kind }) => kind === 'settled').map(({ job }) => job)).size).toBe(
    jobIds.length,
  );
  expect(rows.filter(({ kind }) => kind === 'settled')).toHaveLength(jobIds.length);
  expect(await counted(faults)).toEqual(await used(faults, jobIds));
  expect(await faults.discrepancies()).toEqual([]);
});
