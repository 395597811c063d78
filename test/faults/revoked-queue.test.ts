import { afterAll, beforeAll, expect, test } from 'vitest';
import { chatLine, openaiAt, startBatch, untilEnded, uploadLines } from '../harness/batches.ts';
import { FaultSystem, type IngressProcess } from '../harness/fault-system.ts';
import { type LiveKey, liveKeys } from '../harness/live-keys.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

const atOnce = 4;
let system: FaultSystem;
let giveKey: ReturnType<typeof liveKeys>;
beforeAll(async () => {
  const pools = { chat: { concurrency: atOnce } };
  system = await FaultSystem.start({ providers: { openai: { pools } } as object });
  giveKey = liveKeys(system.store, system.simulator.url);
});
afterAll(() => system.stop());

const urlOf = ({ port }: IngressProcess) => `http://127.0.0.1:${port}`;
const untilKnown = (ingress: IngressProcess, { headers }: LiveKey) =>
  until(
    'the ingress knows the key',
    async () => (await fetch(`${urlOf(ingress)}/v1/models`, { headers })).ok,
  );

async function submit(ingress: IngressProcess, { headers }: LiveKey, count: number, body: unknown) {
  const entries = Array.from({ length: count }, () => ({ endpoint: '/v1/chat/completions', body }));
  const response = await fetch(`${urlOf(ingress)}/v1/jobs`, {
    method: 'POST',
    headers,
    body: JSON.stringify(entries),
  });
  const { data } = (await response.json()) as { data: { job: { id: string } }[] };
  return data.map(({ job }) => job.id);
}

test('without any ingress, what revoked and removed keys have running is cut off, and nothing of their queue starts', async () => {
  const [ingress] = await Promise.all([system.ingress(), system.worker()]);
  const cancels = { on_revoke: 'cancel' };
  const [revoked, removed, left] = await Promise.all([
    giveKey('revoked', cancels),
    giveKey('removed', cancels),
    giveKey('left'),
  ]);
  for (const key of [revoked, removed, left]) await untilKnown(ingress, key);
  const jobIds = await submit(ingress, revoked, 60, chat('held', { hang: true }));
  await until('calls run', () => system.arrivals.inFlight === atOnce);
  jobIds.push(...(await submit(ingress, removed, 60, chat('held', { hang: true }))));
  const finished = await submit(ingress, left, 5, chat('answered'));
  await ingress.end('SIGKILL');
  await Promise.all([removed.remove(), left.remove()]);
  await revoked.revoke();

  expect(await system.ended([...jobIds, ...finished], 30_000)).toEqual({ cancelled: 120, succeeded: 5 });
  expect(system.arrivals.total).toBe(atOnce + finished.length);
  // What was never sent is not a request of anybody.
  expect(await system.depth()).toBe(0);
});

test('with on_revoke: cancel the batches of a key are cancelled, with those of their lines that run', async () => {
  const ingress = await system.ingress();
  const key = await giveKey('batches', { on_revoke: 'cancel' });
  await untilKnown(ingress, key);
  const before = system.arrivals.total;
  const lines = Array.from({ length: 40 }, (_, at) => chatLine(`line-${at}`, chat('held', { hang: true })));
  const owner = openaiAt(urlOf(ingress), key.secret);
  const { id } = await startBatch(owner, await uploadLines(owner, lines));
  await until('lines run', () => system.arrivals.inFlight === atOnce);
  await key.revoke();

  const batch = await untilEnded(openaiAt(urlOf(ingress)), id, 30_000);
  expect([batch.status, batch.request_counts]).toEqual([
    'cancelled',
    { total: lines.length, completed: 0, failed: lines.length },
  ]);
  const jobIds = await system.jobIds();
  const states = await system.states(jobIds);
  expect(states.filter((state) => state === 'queued' || state === 'running')).toEqual([]);
  expect(system.arrivals.total - before).toBe(atOnce);
});
