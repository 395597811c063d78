import { writeFile } from 'node:fs/promises';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { keys } from '#shared/redis/keys.ts';
import { fullestWindow } from '../../loadtest/judge/ceilings.ts';
import type { Arrival } from '../../loadtest/simulator/arrivals/arrival-log.ts';
import { FaultSystem, get, type IngressProcess, post, submit, tenant } from '../harness/fault-system.ts';
import { writeConfiguration } from '../harness/processes.ts';
import { chat, newSimulator } from '../harness/sluice.ts';
import { type SettingsOverrides, testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const fast: SettingsOverrides = {
  reload: { poll_ms: 100, settle_ms: 20 },
  jobs: { sweep_ms: 100, sweep_first_ms: 500, lease_beat_ms: 500, pool_gone_ms: 1_000 },
};

async function begin(over: SettingsOverrides = {}) {
  system = await FaultSystem.start({ ...fast, ...over });
  const faults = system;
  const [ingress, one, two] = await Promise.all([faults.ingress(), faults.worker(), faults.worker()]);
  const configure = (changed: SettingsOverrides) => faults.config.replace({ ...fast, ...changed });
  return { faults, ingress, workers: [one, two], configure };
}

const ask = (ingress: IngressProcess, model = 'gpt-5-mini', text = 'hello') =>
  post(ingress, '/v1/chat/completions', { ...chat(text), model });
const statusOf = async (ingress: IngressProcess, model?: string) => (await ask(ingress, model)).status;

function arrivals({ simulator }: FaultSystem): Arrival[] {
  const found: Arrival[] = [];
  simulator.log.visit(0, (segment, index, seq) => {
    found.push(simulator.log.read(segment, index, seq));
    return true;
  });
  return found;
}

const credentialsUsed = (faults: FaultSystem) =>
  new Set(arrivals(faults).map(({ credential }) => credential));
const pool = (over: Record<string, unknown> = {}) => ({ models: ['gpt-5-mini'], concurrency: 256, ...over });
const openai = (over: Record<string, unknown>) => ({ providers: { openai: over } }) as SettingsOverrides;

test('a virtual key that is added is known at once, and one that is revoked no longer is', async () => {
  const { ingress, configure } = await begin();
  const status = async (key: string) =>
    (await fetch(`http://127.0.0.1:${ingress.port}/v1/models`, { headers: { 'x-api-key': key } })).status;
  expect([await status(testKey), await status('sk-sl-new')]).toEqual([200, 401]);
  await configure({ customers: { acme: { keys: [{ id: 'new', key: 'sk-sl-new' }] } } });
  await until('the new key is known', async () => (await status('sk-sl-new')) === 200);
  expect(await status(testKey)).toBe(401);
});

test('the depth a tenant may queue changes without a restart', async () => {
  const slow = openai({ pools: { chat: pool({ ceilings: { rpm: 1 } }) } });
  const { ingress, configure } = await begin(slow);
  const one = { endpoint: '/v1/chat/completions', body: chat() };
  const accepts = async () => (await post(ingress, '/v1/jobs', one)).status === 202;
  for (let job = 0; job < 3; job++) expect(await accepts()).toBe(true);
  await configure({ ...slow, customers: { acme: { max_queue_depth: 1 } } });
  await until('it refuses', async () => !(await accepts()));
});

test('a pool and its model that are added are served at once, by every process', async () => {
  const { faults, ingress, configure } = await begin();
  expect(await statusOf(ingress, 'gpt-7')).toBe(404);
  await configure(openai({ pools: { next: { models: ['gpt-7'] } } }));
  await until('it is served', async () => (await statusOf(ingress, 'gpt-7')) === 200);
  const { data } = (await (await get(ingress, '/v1/models')).json()) as { data: { id: string }[] };
  expect(data.map(({ id }) => id)).toContain('gpt-7');
  expect(arrivals(faults).map(({ model }) => model)).toContain('gpt-7');
});

test('a provider that moves to another address is called there, by every worker', async () => {
  const { faults, ingress, configure } = await begin();
  expect(await statusOf(ingress)).toBe(200);
  const before = faults.arrivals.total;
  const moved = await newSimulator();
  try {
    await configure(openai({ base_url: `${moved.url}/v1` }));
    await until('it is called', async () => (await ask(ingress)).ok && moved.log.nextSeq > 0);
    await systemClock.sleep(200);
    const settled = faults.arrivals.total;
    await Promise.all(Array.from({ length: 50 }, () => ask(ingress)));
    expect(faults.arrivals.total).toBe(settled);
    expect(settled).toBeGreaterThanOrEqual(before);
  } finally {
    await moved.stop();
  }
});

test('a key of the provider that is changed, added or removed: calls in flight finish, and every new call uses what holds', async () => {
  const credential = (id: string) => ({ id, api_key: `sk-key-${id}-x` });
  const { faults, ingress, configure } = await begin(
    openai({ credentials: [credential('a'), credential('b')] }),
  );
  faults.simulator.faults.add({ match: { promptContains: 'slow' }, times: 20, fault: { delayMs: 2_000 } });
  const inFlight = Array.from({ length: 20 }, () => ask(ingress, 'gpt-5-mini', 'slow'));
  await until('all are in flight', () => faults.arrivals.inFlight === 20);
  expect(credentialsUsed(faults).size).toBe(2);
  const old = arrivals(faults).map(({ credential: name }) => name);

  await configure(openai({ credentials: [credential('b'), credential('c')] }));
  await until(
    'the new key is used',
    async () => (await ask(ingress)).ok && credentialsUsed(faults).size === 3,
  );
  const from = arrivals(faults).length;
  const after = await Promise.all(Array.from({ length: 100 }, () => statusOf(ingress)));
  expect(after).toEqual(Array(100).fill(200));
  const newer = new Set(
    arrivals(faults)
      .slice(from)
      .map(({ credential: name }) => name),
  );
  expect(newer.size).toBe(2);
  expect(old.filter((name) => !newer.has(name)).length).toBeGreaterThan(0);
  expect((await Promise.all(inFlight)).map(({ status }) => status)).toEqual(Array(20).fill(200));
  expect(faults.arrivals.maxCallsPerJob).toBe(1);
});

test('a pool that is removed: calls in flight finish, and what waits ends as pool_removed', async () => {
  const extra = { models: ['gpt-7'], ceilings: { concurrency: 2 } };
  const { faults, ingress, configure } = await begin(openai({ pools: { extra } }));
  const call = { ...chat('slow', { delayMs: 3_000 }), model: 'gpt-7' };
  const jobs = await submit(ingress, Array(30).fill(call));
  const others = await submit(ingress, [chat()], { run_at: Math.ceil(systemClock.nowMs() / 1_000) + 4 });
  await until('two are in flight', () => faults.arrivals.inFlight === 2);
  await configure({});
  expect(await faults.ended(jobs)).toEqual({ succeeded: 2, failed: 28 });
  expect(faults.arrivals.maxCallsPerJob).toBe(1);
  const answer = await get(ingress, `/v1/jobs/${jobs[29]}/result`);
  expect(answer.status).toBe(410);
  expect(await answer.text()).toContain('pool_removed');
  expect(await statusOf(ingress, 'gpt-7')).toBe(404);
  expect(await faults.ended(others)).toEqual({ succeeded: 1 });
  expect(await faults.depth()).toBe(0);
});

test('a file that cannot be used changes nothing, and every process says so', async () => {
  const { faults, ingress, workers } = await begin();
  await writeFile(faults.config.path, 'providers: [');
  const processes = [ingress, ...workers];
  await until('all say so', () => processes.every(({ output }) => output.includes('cannot be used')));
  expect(await statusOf(ingress)).toBe(200);
  for (const { child } of processes) expect(child.exitCode).toBeNull();
});

test('workers with different files: the one that spoke last counts, and nobody speaks again', async () => {
  const { faults, ingress, workers, configure } = await begin();
  const published = () => workers.map(({ output }) => output.split('pool settings published').length - 1);
  const before = published();
  await configure({ customers: { acme: { weight: 4 } } });
  const weight = () => faults.store.hget(`${keys.queuePrefix('openai')}:chat:fair:tenants`, tenant);
  await until('the new weight', async () => (await weight())?.startsWith('4 '));
  const older = await writeConfiguration(faults.simulator.url, fast);
  const current = faults.config.path;
  Object.assign(faults.config, { path: older.path });
  const late = await faults.worker();
  Object.assign(faults.config, { path: current });
  await until('the older weight', async () => (await weight())?.startsWith('1 '));
  const spoken = published();
  for (let call = 0; call < 20; call++) expect(await statusOf(ingress)).toBe(200);
  expect(published()).toEqual(spoken);
  expect(await weight()).toMatch(/^1 /);
  expect(late.output).toContain('pool settings published');
  expect(before.reduce((sum, count) => sum + count, 0)).toBe(3);
  await older.remove();
});

test('a grant for a key that a worker does not know goes back: its calls never run on the ceiling of another', async () => {
  const windowSeconds = 2;
  const perWindow = 5;
  const known = (...ids: string[]) =>
    openai({
      credentials: ids.map((id) => ({ id, api_key: `sk-key-${id}-x` })),
      pools: { chat: pool({ ceilings: { rpm: perWindow }, window_seconds: windowSeconds }) },
    });
  system = await FaultSystem.start({ ...fast, ...known('a', 'b') });
  const faults = system;
  const newer = faults.config.path;
  const older = await writeConfiguration(faults.simulator.url, { ...fast, ...known('a') });
  Object.assign(faults.config, { path: older.path });
  await faults.worker();
  Object.assign(faults.config, { path: newer });
  // The last word says that there are two keys, and then only the worker that knows one is left.
  const [ingress, gone] = await Promise.all([faults.ingress(), faults.worker()]);
  await gone.end('SIGTERM');
  const jobs = await submit(ingress, Array(20).fill(chat()));
  expect(await faults.ended(jobs)).toEqual({ succeeded: 20 });
  const charges = arrivals(faults).map(({ atMs }) => ({ atMs, amount: 1 }));
  expect(credentialsUsed(faults).size).toBe(1);
  expect(fullestWindow(charges, windowSeconds * 1_000).amount).toBeLessThanOrEqual(perWindow);
  await older.remove();
});
