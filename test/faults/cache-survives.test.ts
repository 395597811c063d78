import { afterEach, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { FaultSystem, type IngressProcess, post, tenant } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const path = '/v1/chat/completions';
const exact = { 'x-sluice-cache': 'exact' };
const together = { 'x-sluice-coalesce': 'true' };

const kept = (faults: FaultSystem) => faults.store.zcard(keys.cacheIndex(tenant));
const statusOf = (response: Response) => response.headers.get('x-sluice-cache-status');

async function readers({ store }: FaultSystem): Promise<number> {
  const [key] = await store.keys(keys.together(tenant, '*'));
  return key === undefined ? 0 : (await store.hlen(key)) - 1;
}

test('an answer, small or large, is served again after every process was restarted', async () => {
  system = await FaultSystem.start({ payloads: { inline_max_bytes: 1_024 } });
  const faults = system;
  const before = await Promise.all([faults.ingress(), faults.worker()]);
  const bodies = [chat('small', { outputTokens: 3 }), chat('large', { outputTokens: 2_000 })];
  const ask = (ingress: IngressProcess) =>
    Promise.all(bodies.map((body) => post(ingress, path, body, exact)));
  const texts = await Promise.all((await ask(before[0])).map((answer) => answer.text()));
  expect(texts[1]!.length).toBeGreaterThan(4_000);
  await until('both are kept', async () => (await kept(faults)) === 2);
  await Promise.all(before.map((each) => each.end('SIGKILL')));
  const answers = await ask(await faults.ingress());
  expect(answers.map(statusOf)).toEqual(['hit', 'hit']);
  expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(texts);
  expect(faults.arrivals.total).toBe(2);
});

test('kill -9 of the worker while it keeps answers loses entries of the cache and nothing else', async () => {
  system = await FaultSystem.start();
  const faults = system;
  const [ingress, worker] = await Promise.all([faults.ingress(), faults.worker()]);
  const bodies = Array.from({ length: 40 }, (_each, index) => chat(`entry ${index}`, { delayMs: 200 }));
  const answers = bodies.map(async (body) => {
    const response = await post(ingress, path, body, exact);
    return { status: response.status, text: await response.text() };
  });
  await until('the first is kept', async () => (await kept(faults)) > 0);
  await worker.end('SIGKILL');
  await faults.worker();
  const first = await Promise.all(answers);
  expect(new Set(first.map(({ status }) => status))).toEqual(new Set([200]));
  expect(await faults.ended(await faults.jobIds())).toEqual({ succeeded: 40 });

  const again = await Promise.all(bodies.map((body) => post(ingress, path, body, exact)));
  const texts = await Promise.all(again.map((answer) => answer.text()));
  const hits = again.map((answer) => statusOf(answer) === 'hit');
  expect(hits).toContain(true);
  for (const [index, hit] of hits.entries()) if (hit) expect(texts[index]).toBe(first[index]!.text);
  expect(await faults.ended(await faults.jobIds())).toEqual({ succeeded: 80 });
});

test('identical calls at two ingresses share a job; that of the first may die', async () => {
  system = await FaultSystem.start();
  const faults = system;
  const [one, two] = await Promise.all([faults.ingress(), faults.ingress(), faults.worker()]);
  const body = chat('same everywhere', { delayMs: 6_000 });
  const cut = post(one, path, body, together).then(
    () => 'answered',
    () => 'cut off',
  );
  await until('the first is there', async () => (await readers(faults)) === 1);
  const others = [two, one, two].map((ingress) => post(ingress, path, body, together));
  for (const other of others) other.catch(() => undefined);
  await until('all are there', async () => (await readers(faults)) === 4);
  await one.end('SIGKILL');
  expect(await cut).toBe('cut off');
  const answers = await Promise.all([others[0]!, others[2]!]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  expect(new Set(await Promise.all(answers.map((answer) => answer.text()))).size).toBe(1);
  expect(faults.arrivals.total).toBe(1);
  expect(await faults.jobIds()).toHaveLength(1);
  expect(await readers(faults)).toBe(0);
});
