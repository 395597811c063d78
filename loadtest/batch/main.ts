// One large batch through the real processes: node loadtest/batch/main.ts --lines 50000 --line-bytes 4000 --workers 2 --json
import { createReadStream, createWriteStream, openAsBlob } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { splitLines } from '#shared/batches/split-lines.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { Children } from '../cluster/children.ts';
import { Provider } from '../cluster/provider.ts';
import { RedisServer } from '../cluster/redis-server.ts';
import { forgetPeak, peakRssMb } from './peak-memory.ts';
import { batchConfiguration, key, writeInput } from './workload.ts';

const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '5000' },
    'line-bytes': { type: 'string', default: '4000' },
    workers: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
const lines = Number(values.lines);
const lineBytes = Number(values['line-bytes']);
const pollMs = 1_000;
const ends = ['completed', 'failed', 'expired', 'cancelled'];

interface Batch {
  id: string;
  status: string;
  output_file_id?: string;
  request_counts: { total: number; completed: number; failed: number };
}

const say = (line: string) => console.error(line);

/** Lines of an output file, and how many different custom ids they have. */
async function linesOf(path: string): Promise<{ written: number; distinct: number }> {
  const seen = new Set<string>();
  let written = 0;
  for await (const { bytes } of splitLines(createReadStream(path), Number.MAX_SAFE_INTEGER)) {
    written++;
    seen.add((JSON.parse(bytes!.toString()) as { custom_id: string }).custom_id);
  }
  return { written, distinct: seen.size };
}

async function formOf(path: string): Promise<FormData> {
  const form = new FormData();
  form.append('purpose', 'batch');
  form.append('file', await openAsBlob(path), 'input.jsonl');
  return form;
}

const batchOf = (fileId: string) =>
  JSON.stringify({ input_file_id: fileId, endpoint: '/v1/chat/completions', completion_window: '24h' });

async function start(): Promise<{ children: Children; redis: RedisServer; provider: Provider }> {
  const children = new Children();
  const [redis, provider] = await Promise.all([RedisServer.start(children), Provider.start(children, 1)]);
  await provider.answerAfter(5);
  return { children, redis, provider };
}

async function main(): Promise<void> {
  const { children, redis, provider } = await start();
  const folder = await children.folder();
  const config = await batchConfiguration(folder, provider.url, lines);
  const service = (name: 'ingress' | 'worker') =>
    children.node({
      name,
      args: [`services/${name}/main.ts`],
      env: { SLUICE_CONFIG: config, REDIS_URL: redis.url },
      ready: new RegExp(`"${name} ready"`),
    });
  const ingress = await service('ingress');
  const workers = await Promise.all(Array.from({ length: Number(values.workers) }, () => service('worker')));
  const { port } = JSON.parse(ingress.readyLine) as { port: number };
  const ask = async (path: string, init: Omit<RequestInit, 'headers'> = {}) => {
    const type = typeof init.body === 'string' ? { 'content-type': 'application/json' } : {};
    const headers = { authorization: `Bearer ${key}`, ...type };
    const response = await fetch(`http://127.0.0.1:${port}/v1${path}`, { ...init, headers });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response;
  };

  const input = join(folder, 'input.jsonl');
  await writeInput(input, lines, lineBytes);
  const inputBytes = (await stat(input)).size;
  await forgetPeak(ingress.pid);
  const idleMb = await peakRssMb(ingress.pid);
  const form = await formOf(input);
  const { id: fileId } = (await (await ask('/files', { method: 'POST', body: form })).json()) as {
    id: string;
  };
  const uploadMb = await peakRssMb(ingress.pid);
  say(`uploaded ${inputBytes} bytes; ingress ${idleMb} → ${uploadMb} MB`);

  const startedMs = systemClock.monotonicMs();
  const body = batchOf(fileId);
  let batch = (await (await ask('/batches', { method: 'POST', body })).json()) as Batch;
  while (!ends.includes(batch.status)) {
    await systemClock.sleep(pollMs);
    batch = (await (await ask(`/batches/${batch.id}`)).json()) as Batch;
    say(`${batch.status} ${JSON.stringify(batch.request_counts)}`);
  }
  const seconds = (systemClock.monotonicMs() - startedMs) / 1_000;
  const output = join(folder, 'output.jsonl');
  const content = await ask(`/files/${batch.output_file_id}/content`);
  await pipeline(Readable.fromWeb(content.body as never), createWriteStream(output));
  const { written, distinct } = await linesOf(output);
  const result = {
    lines,
    inputBytes,
    status: batch.status,
    counts: batch.request_counts,
    outputLines: written,
    distinctLines: distinct,
    providerCalls: await provider.total(),
    seconds: Math.round(seconds),
    linesPerSecond: Math.round(lines / seconds),
    peakRssMb: {
      ingressIdle: idleMb,
      ingressUpload: uploadMb,
      ingress: await peakRssMb(ingress.pid),
      workers: await Promise.all(workers.map(({ pid }) => peakRssMb(pid))),
      redis: await peakRssMb(redis.pid),
    },
  };
  console.log(values.json ? JSON.stringify(result) : JSON.stringify(result, undefined, 2));
  const whole = written === lines && distinct === lines && batch.status === 'completed';
  process.exit(whole ? 0 : 1);
}

await main();
