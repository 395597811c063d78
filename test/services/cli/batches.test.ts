import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Batch,
  chatLine,
  openaiAt,
  parseLines,
  startBatch,
  untilEnded,
  uploadLines,
} from '#test/harness/batches.ts';
import { runCli } from '#test/harness/cli.ts';
import { GatedProvider } from '#test/harness/gated-provider.ts';
import { chat, startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { otherKey } from '#test/harness/test-settings.ts';
import { until } from '#test/harness/until.ts';

let sluice: TestSluice;
let gated: GatedProvider;
let folder: string;
beforeAll(async () => {
  gated = await GatedProvider.start();
  sluice = await startSluice({
    settings: { batches: { append_ms: 50, beat_ms: 100 }, providers: { gated: gated.settings } },
  });
  folder = await mkdtemp(join(tmpdir(), 'sluice-batches-'));
});
afterAll(async () => {
  await sluice.stop();
  await gated.stop();
  await rm(folder, { recursive: true, force: true });
});

const cli = (...args: string[]) => runCli(['batch', ...args], { url: sluice.url });

const refused = chat('three', { status: 400 });
const gatedChat = (text: string) => ({ ...chat(text), model: 'gated' });

async function begin(...lines: Record<string, unknown>[]): Promise<string> {
  const openai = openaiAt(sluice.url);
  const file = await uploadLines(
    openai,
    lines.map((body, index) => chatLine(`c${index}`, body)),
  );
  return (await startBatch(openai, file)).id;
}

const untilOver = (id: string) => untilEnded(openaiAt(sluice.url), id);
const ended = async () => untilOver(await begin(chat('one'), chat('two'), refused));
/** Its first two lines are done, and the last one runs until the gate is opened. */
async function running(): Promise<string> {
  const id = await begin(gatedChat('one'), gatedChat('two'), gatedChat('wait'));
  await until('two lines are done', async () => {
    const { request_counts } = await openaiAt(sluice.url).batches.retrieve(id);
    return request_counts?.completed === 2;
  });
  return id;
}

const jsonLines = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
const idsIn = (text: string) =>
  parseLines(text)
    .map(({ custom_id }) => custom_id)
    .toSorted();

describe('sluice batch', () => {
  test('get shows a batch, for people and as the API has it', async () => {
    const batch = await ended();
    const shown = await cli('get', batch.id);
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    expect(shown.stdout).toMatch(/^status +completed$/m);
    expect(shown.stdout).toMatch(/^request_counts +\{"total":3,"completed":2,"failed":1\}$/m);
    expect(JSON.parse((await cli('get', batch.id, '--json')).stdout)).toEqual({ ...batch });
  });

  test('ls lists batches page by page, with what is done and failed', async () => {
    const first = await ended();
    const second = await ended();
    const page = JSON.parse((await cli('ls', '--limit', '1', '--json')).stdout) as {
      data: Batch[];
      last_id: string;
    };
    expect(page.data.map(({ id }) => id)).toEqual([second.id]);
    const rest = await cli('ls', '--limit', '1', '--after', page.last_id);
    expect(rest.stdout).toMatch(/^BATCH +STATUS +MODEL +DONE +AGE +DETAIL\n/);
    expect(rest.stdout).toMatch(
      new RegExp(`^${first.id} +completed +gpt-5-mini +3 of 3, 1 failed +\\d+ s +\\d+ tokens`, 'm'),
    );
    const none = await runCli(['batch', 'ls'], { url: sluice.url, key: otherKey });
    expect(none).toMatchObject({ code: 0, stdout: '', stderr: 'No batches.\n' });
  });

  test('output prints what there is while the batch runs; with -o it goes on where the file ends', async () => {
    const id = await running();
    const { stdout: printed } = await cli('output', id);
    expect(idsIn(printed)).toEqual(['c0', 'c1']);
    const file = join(folder, `${id}.jsonl`);
    expect(await cli('output', id, '-o', file)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('has 2 lines; the batch is in_progress.') as string,
    });
    expect(await readFile(file, 'utf8')).toBe(printed);
    gated.open();
    await untilOver(id);
    const later = JSON.parse((await cli('output', id, '-o', file, '--json')).stdout) as object;
    expect(later).toMatchObject({ status: 'completed', lines: 3 });
    expect((await readFile(file, 'utf8')).startsWith(printed)).toBe(true);
    expect(await readFile(file, 'utf8')).toBe((await cli('output', id)).stdout);
    const failed = await cli('output', (await ended()).id, '--errors');
    expect(idsIn(failed.stdout)).toEqual(['c2']);
  });

  test('cancel cancels every batch it can and fails for the rest', async () => {
    const [done, open] = [(await ended()).id, await running()];
    const cancelled = await cli('cancel', done, open, '--json');
    expect(cancelled.code).toBe(1);
    expect(jsonLines(cancelled.stdout)).toEqual([
      { id: done, error: { code: 'batch_already_ended', message: expect.any(String) as string } },
      expect.objectContaining({ id: open, status: expect.stringMatching(/^cancell/) as string }),
    ]);
    gated.open();
    await untilOver(open);
  });

  test.each(['get', 'output', 'cancel'])('%s of a batch of somebody else: exit code 1', async (command) => {
    const { id } = await ended();
    const answer = await runCli(['batch', command, id], { url: sluice.url, key: otherKey });
    expect(answer.code).toBe(1);
    expect(answer.stderr + answer.stdout).toContain(id);
  });
});
