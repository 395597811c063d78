import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterEach, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { chatLine, openaiAt, resultsOf, startBatch, untilEnded, uploadLines } from '../harness/batches.ts';
import { FaultSystem, post, tenant } from '../harness/fault-system.ts';
import { S3Server } from '../harness/s3-server.ts';
import { chat } from '../harness/sluice.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
let s3: S3Server | undefined;
let folder: string | undefined;
afterEach(async () => {
  await system?.stop();
  await s3?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const lines = 40;
/** Every body is a request to a server in this process: slow on a busy machine. */
const patienceMs = 150_000;
const outputTokens = 400;
const words = 'many words '.repeat(200);
/** Larger than what lies in Redis, the call as well as its answer. */
const large = (name: string) => chat(`${name} ${words}`, { outputTokens });

test('a batch whose files and bodies lie in S3: while S3 is away its callers are told so, and nothing is lost', async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-s3-'));
  const store = await S3Server.start(folder);
  s3 = store;
  const faults = await FaultSystem.start({
    blobs: store.settings,
    payloads: { inline_max_bytes: 1_024, store_wait_ms: 200 },
    batches: { append_ms: 100, append_lines: 10, lines_open_per_batch_max: 10 },
  });
  system = faults;
  const [ingress] = await Promise.all([faults.ingress(), faults.worker()]);
  const openai = openaiAt(`http://127.0.0.1:${ingress.port}`);
  const ids = Array.from({ length: lines }, (_none, index) => `line-${index}`);
  const input = ids.map((id) => chatLine(id, large(id)));
  const fileId = await uploadLines(openai, input);
  const { id } = await startBatch(openai, fileId);
  const completed = async () => Number(await faults.store.hget(keys.batch(tenant, id), 'completed'));
  await until('some lines are done', async () => (await completed()) >= 10, patienceMs);

  await store.stop();
  const refused = [
    await uploadLines(openai, input).catch((error: unknown) => error),
    await openai.files.content(fileId).catch((error: unknown) => error),
  ];
  for (const error of refused) {
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect(error).toMatchObject({ status: 503, code: 'blobs_unavailable' });
  }
  const call = await post(ingress, '/v1/chat/completions', large('while it is away'));
  expect([call.status, call.headers.get('retry-after')]).toEqual([503, '5']);
  expect(await call.json()).toMatchObject({ error: { code: 'blobs_unavailable' } });
  const small = await post(ingress, '/v1/chat/completions', chat('small', { outputTokens: 3 }));
  expect(small.status).toBe(200);

  await store.start();
  const batch = await untilEnded(openai, id, patienceMs);
  expect(batch.status).toBe('completed');
  const { output } = await resultsOf(openai, batch, ids);
  expect(output).toHaveLength(lines);
  expect(batch.usage!.output_tokens).toBe(outputTokens * lines);
  expect(faults.arrivals.maxCallsPerJob).toBe(1);
  expect(await (await openai.files.content(fileId)).text()).toBe(
    input.map((line) => `${JSON.stringify(line)}\n`).join(''),
  );
  // All of it lay in S3, and nothing on the disk of a process.
  const kinds = await readdir(join(folder, 'blobs', tenant));
  expect(kinds.toSorted()).toEqual(['batches', 'files', 'payloads']);
  expect(await readdir(join(faults.dataDir, 'blobs')).catch(() => [])).toEqual([]);
}, 330_000);
