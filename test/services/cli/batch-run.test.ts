import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CliProcess, runCli } from '#test/harness/cli.ts';
import { chat, startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { until } from '#test/harness/until.ts';

let sluice: TestSluice;
let folder: string;
beforeAll(async () => {
  sluice = await startSluice({
    settings: { providers: { openai: { pools: { chat: { concurrency: 8 } } } }, batches: { append_ms: 50 } },
  });
});
afterAll(() => sluice.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-batch-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const at = (name: string) => join(folder, name);
const slow = { delayMs: 100 };
type LineOf = (index: number) => Record<string, unknown>;
const slowChat: LineOf = (index) => chat(`line ${index}`, slow);
/** The same, with one line that keeps the batch from ending while a test looks at it. */
const longChat: LineOf = (index) => chat(`line ${index}`, index === 3 ? { delayMs: 4_000 } : slow);
const endless: LineOf = () => chat('endless', { delayMs: 60_000 });

const textOf = (count: number, bodyOf: LineOf) =>
  Array.from({ length: count }, (_none, index) =>
    JSON.stringify({
      custom_id: `c${index}`,
      method: 'POST',
      url: '/v1/chat/completions',
      body: bodyOf(index),
    }),
  ).join('\n');
const writeInput = (count: number, bodyOf: LineOf) => writeFile(at('in.jsonl'), textOf(count, bodyOf));
const command = (...more: string[]) => ['batch', 'run', at('in.jsonl'), '-o', at('out.jsonl'), ...more];
const start = (...more: string[]) => new CliProcess(command(...more), { url: sluice.url });
const run = (...more: string[]) => start(...more).ended;

const readLines = async (name: string) =>
  (await readFile(at(name), 'utf8').catch(() => ''))
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { custom_id: string; response: { status_code: number } | null });
const readState = async () =>
  JSON.parse(await readFile(at('out.jsonl.sluice'), 'utf8').catch(() => '{}')) as Record<string, unknown>;
const isThere = (name: string) =>
  stat(at(name)).then(
    () => true,
    () => false,
  );

/** Fails unless every line of the input is in the output or the errors, once. */
async function expectAll(count: number): Promise<{ results: number; errors: number }> {
  const [results, errors] = [await readLines('out.jsonl'), await readLines('out.errors.jsonl')];
  const ids = [...results, ...errors].map(({ custom_id }) => custom_id);
  const wanted = Array.from({ length: count }, (_none, index) => `c${index}`);
  expect(ids.toSorted((a, b) => a.localeCompare(b))).toEqual(wanted.toSorted((a, b) => a.localeCompare(b)));
  return { results: results.length, errors: errors.length };
}

async function batchCount(): Promise<number> {
  const { data } = (await (await sluice.get('/v1/batches?limit=100')).json()) as { data: unknown[] };
  return data.length;
}

describe('sluice batch run', () => {
  test('brings every line home, results and failures apart, and fails when a line did', async () => {
    await writeInput(20, (index) =>
      index % 10 === 3 ? chat('bad', { status: 400 }) : chat(`line ${index}`),
    );
    const ended = await run('--json');
    expect(ended.code).toBe(1);
    expect(JSON.parse(ended.stdout)).toMatchObject({
      status: 'completed',
      total: 20,
      completed: 18,
      failed: 2,
    });
    expect(await expectAll(20)).toEqual({ results: 18, errors: 2 });
    expect(await isThere('out.jsonl.sluice')).toBe(false);
  });

  test('takes its input from a pipe', async () => {
    const input = textOf(3, (index) => chat(`piped ${index}`));
    const ended = await runCli(['batch', 'run', '-', '-o', at('out.jsonl')], { url: sluice.url, input });
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining('3 of 3 succeeded') as string });
    await expectAll(3);
    expect(await isThere('out.jsonl.sluice-input')).toBe(false);
  });

  test('results are in the file while the batch still runs', async () => {
    await writeInput(100, slowChat);
    const cli = start();
    await until(
      'some results are there',
      async () => (await readLines('out.jsonl').catch(() => [])).length > 0,
    );
    expect(cli.child.exitCode).toBe(null);
    expect((await cli.ended).code).toBe(0);
    await expectAll(100);
  });

  test('killed again and again, at every step, it submits once and loses and repeats no line', async () => {
    const before = await batchCount();
    await writeInput(150, slowChat);
    const steps: [string, () => Promise<unknown>][] = [
      ['a state', () => isThere('out.jsonl.sluice')],
      ['an upload', async () => (await readState()).fileId],
      ['a batch', async () => (await readState()).batchId],
      ['some output', () => isThere('out.jsonl')],
      ['more output', async () => (await stat(at('out.jsonl'))).size > 20_000],
    ];
    let code: number | null = null;
    for (const [what, reached] of steps) {
      const cli = start();
      await until(what, reached);
      cli.child.kill('SIGKILL');
      ({ code } = await cli.ended);
    }
    // It may have been at its end faster than it was killed.
    expect(code ?? (await run()).code).toBe(0);
    expect(await expectAll(150)).toEqual({ results: 150, errors: 0 });
    expect((await batchCount()) - before).toBe(1);
  });

  test('a batch whose creation was not noted is found again instead of being made twice', async () => {
    const before = await batchCount();
    await writeInput(60, slowChat);
    const cli = start();
    await until('a batch', async () => (await readState()).batchId);
    cli.child.kill('SIGKILL');
    await cli.ended;
    const { batchId: _lost, ...rest } = await readState();
    await writeFile(at('out.jsonl.sluice'), JSON.stringify(rest));
    expect((await run()).code).toBe(0);
    await expectAll(60);
    expect((await batchCount()) - before).toBe(1);
  });

  test('an upload that is cut and a creation whose answer is lost are tried again: one batch, every line once', async () => {
    const before = await batchCount();
    await writeInput(20, slowChat);
    const cut = new Set<string>();
    // Cuts the first connection that uploads, and takes away the first answer to the creation of a batch.
    const between = createServer((request, response) => {
      const asked = `${request.method} ${request.url}`;
      const isFirst = !cut.has(asked);
      if (asked === 'POST /v1/files' && isFirst) {
        cut.add(asked);
        return void request.once('data', () => request.destroy());
      }
      const { method, headers } = request;
      const onward = httpRequest(`${sluice.url}${request.url}`, { method, headers }, (answer) => {
        if (asked === 'POST /v1/batches' && isFirst) {
          cut.add(asked);
          return void response.destroy();
        }
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      });
      request.pipe(onward);
    }).listen(0, '127.0.0.1');
    await once(between, 'listening');
    const url = `http://127.0.0.1:${(between.address() as AddressInfo).port}`;
    const ended = await runCli(command(), { url });
    between.closeAllConnections();
    between.close();
    expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining('Trying again') as string });
    expect([...cut]).toEqual(['POST /v1/files', 'POST /v1/batches']);
    await expectAll(20);
    expect((await batchCount()) - before).toBe(1);
  });

  test('Ctrl-C leaves the batch running, and the same command goes on', async () => {
    await writeInput(60, longChat);
    const cli = start();
    await until('some output', () => isThere('out.jsonl'));
    cli.child.kill('SIGINT');
    const ended = await cli.ended;
    expect(ended.code).toBe(130);
    expect(ended.stderr).toContain('Run the same command again');
    expect((await run()).code).toBe(0);
    await expectAll(60);
  });

  test('--cancel-on-exit cancels on Ctrl-C and brings home what was finished', async () => {
    await writeInput(200, longChat);
    const cli = start('--cancel-on-exit', '--json');
    await until('some output', () => isThere('out.jsonl'));
    cli.child.kill('SIGINT');
    const ended = await cli.ended;
    expect(ended.code).toBe(130);
    const { status } = JSON.parse(ended.stdout) as { status: string };
    expect(status).toBe('cancelled');
    const { results, errors } = await expectAll(200);
    expect(results).toBeGreaterThan(0);
    expect(errors).toBeGreaterThan(0);
    expect(await isThere('out.jsonl.sluice')).toBe(false);
  });

  test('an input that is no batch ends with what is wrong, and leaves no state behind', async () => {
    const line = { custom_id: 'same', method: 'POST', url: '/v1/chat/completions', body: chat() };
    await writeFile(at('in.jsonl'), `${JSON.stringify(line)}\n${JSON.stringify(line)}\n`);
    const ended = await run();
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('line 2');
    expect(await isThere('out.jsonl.sluice')).toBe(false);
  });
});

describe('sluice batch run refuses', () => {
  test('an input whose first line is none of a batch', async () => {
    await writeFile(at('in.jsonl'), '{"prompt":"hello"}\n');
    expect(await run()).toMatchObject({ code: 2, stderr: expect.stringContaining('custom_id') as string });
  });

  test('an output that is there, unless it is told to begin anew', async () => {
    await writeInput(2, () => chat());
    await writeFile(at('out.jsonl'), 'precious\n');
    expect(await run()).toMatchObject({ code: 2, stderr: expect.stringContaining('--force') as string });
    expect(await readFile(at('out.jsonl'), 'utf8')).toBe('precious\n');
    expect((await run('--force')).code).toBe(0);
    await expectAll(2);
  });

  test('to go on with another input, or beside a process that is at it', async () => {
    await writeInput(10, endless);
    const cli = start();
    await until('a batch', async () => (await readState()).batchId);
    expect(await run()).toMatchObject({ code: 2, stderr: expect.stringContaining('already') as string });
    cli.child.kill('SIGKILL');
    await cli.ended;
    await writeInput(9, endless);
    expect(await run()).toMatchObject({ code: 2, stderr: expect.stringContaining('changed') as string });
  });
});
