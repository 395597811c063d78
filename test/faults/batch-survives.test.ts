import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { keys } from '#shared/redis/keys.ts';
import { chatLine, openaiAt, resultsOf, startBatch, untilEnded, uploadLines } from '../harness/batches.ts';
import { FaultSystem, type IngressProcess } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
afterEach(() => system?.stop());

const lines = 1_500;
const settings = {
  jobs: { sweep_first_ms: 2_000, takeover_grace_ms: 500 },
  workers: { lock_ms: 5_000, stalled_check_ms: 500 },
  batches: {
    lease_ms: 3_000,
    beat_ms: 300,
    look_ms: 100,
    append_ms: 200,
    append_lines: 100,
    lines_open_per_batch_max: 200,
  },
};

const clientOf = (ingress: IngressProcess) => openaiAt(`http://127.0.0.1:${ingress.port}`, undefined, 0);

async function begin(faults: FaultSystem, ingress: IngressProcess): Promise<{ id: string; ids: string[] }> {
  const openai = clientOf(ingress);
  const ids = Array.from({ length: lines }, (_each, index) => `line-${index}`);
  const file = await uploadLines(
    openai,
    ids.map((id) => chatLine(id, chat(id, { delayMs: 20, outputTokens: 3 }))),
  );
  const { id } = await startBatch(openai, file);
  await until(
    'some lines are done',
    async () => Number(await faults.store.hget(keys.batch('acme', id), 'completed')) > 200,
  );
  return { id, ids };
}

/** Everything that can be wrong with a batch that has ended. */
async function expectWhole(
  faults: FaultSystem,
  ingress: IngressProcess,
  id: string,
  ids: string[],
  callsMax: number,
) {
  const openai = clientOf(ingress);
  const batch = await untilEnded(openai, id, 120_000);
  expect(batch.status).toBe('completed');
  const { output } = await resultsOf(openai, batch, ids);
  expect(output).toHaveLength(lines);
  // Every line was one job, and its usage is counted once.
  expect(await faults.jobIds()).toHaveLength(lines);
  expect(batch.usage!.output_tokens).toBe(3 * lines);
  expect(faults.arrivals.maxCallsPerJob).toBeLessThanOrEqual(callsMax);
  expect(await faults.depth()).toBe(0);
}

test('kill -9 of the ingress that drives a batch: another one takes over, and no line is called twice or lost', async () => {
  system = await FaultSystem.start(settings);
  const faults = system;
  const first = await faults.ingress();
  await faults.worker();
  const { id, ids } = await begin(faults, first);
  await first.end('SIGKILL');
  const killedAt = systemClock.monotonicMs();
  const second = await faults.ingress();
  const before = Number(await faults.store.hget(keys.batch('acme', id), 'completed'));
  await until(
    'it goes on',
    async () => Number(await faults.store.hget(keys.batch('acme', id), 'completed')) > before,
  );
  console.log(`taken over within ${Math.round(systemClock.monotonicMs() - killedAt)} ms (lease 3 s)`);
  await expectWhole(faults, second, id, ids, 1);
});

test('kill -9 of a worker, of the driving ingress and of Redis, one after the other: every line is in the output once', async () => {
  system = await FaultSystem.start(settings);
  const faults = system;
  const [first, second] = await Promise.all([faults.ingress(), faults.ingress()]);
  const worker = await faults.worker();
  const { id, ids } = await begin(faults, first);
  await worker.end('SIGKILL');
  await faults.worker();
  const completed = async () => Number(await faults.store.hget(keys.batch('acme', id), 'completed'));
  await until('it goes on without the worker', async () => (await completed()) > 500);
  await first.end('SIGKILL');
  await until('it goes on without the ingress', async () => (await completed()) > 800);
  await faults.redis.kill();
  await faults.redis.start();
  await until('it goes on after Redis', async () => (await completed().catch(() => 0)) > 1_000);
  await expectWhole(faults, second, id, ids, 2);
}, 300_000);

test('SIGTERM of the driving ingress: another one takes over at once', async () => {
  system = await FaultSystem.start({ ...settings, batches: { ...settings.batches, lease_ms: 60_000 } });
  const faults = system;
  const first = await faults.ingress();
  await faults.worker();
  const { id, ids } = await begin(faults, first);
  expect(await first.end('SIGTERM')).toBe(0);
  const second = await faults.ingress();
  await expectWhole(faults, second, id, ids, 1);
});

test('no piece of output is left behind that belongs to nobody, once the sweeper has been there', async () => {
  system = await FaultSystem.start({ ...settings, files: { sweep_ms: 200, orphan_seconds: 1 } });
  const faults = system;
  const first = await faults.ingress();
  await faults.worker();
  const { id, ids } = await begin(faults, first);
  await first.end('SIGKILL');
  const second = await faults.ingress();
  await expectWhole(faults, second, id, ids, 1);
  const entries = await faults.store.lrange(keys.batchPieces('acme', id, 'output'), 0, '-1');
  const names = entries.map((entry) => entry.split(' ')[0]!).toSorted();
  const folder = join(faults.dataDir, 'blobs', 'acme', 'batches');
  await until('only the pieces of the batch are left', async () => {
    const found = (await readdir(folder)).toSorted();
    return found.length === names.length && found.every((name, index) => name === names[index]);
  });
});
