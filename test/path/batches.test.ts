import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import {
  type Batch,
  chatLine,
  linesOf,
  openaiAt,
  parseLines,
  resultsOf,
  startBatch,
  untilEnded,
  uploadLines,
  uploadText,
} from '../harness/batches.ts';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { otherKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';
import { arrivalsAt } from './support.ts';

let sluice: TestSluice;
let openai: OpenAI;
beforeAll(async () => {
  sluice = await startSluice({
    settings: {
      batches: { beat_ms: 100, look_ms: 50, append_ms: 100, append_lines: 40, lines_open_per_batch_max: 50 },
      files: { lines_max: 1_000 },
    },
  });
  openai = openaiAt(sluice.url);
});
afterAll(() => sluice.stop());
beforeEach(() => sluice.simulator.log.clear());

const idsOf = (count: number) => Array.from({ length: count }, (_each, index) => `line-${index}`);

test('a batch through the official client: every line is in the output once, with its usage, and sums agree', async () => {
  const ids = idsOf(300);
  const file = await uploadLines(
    openai,
    ids.map((id) => chatLine(id, chat(id, { outputTokens: 5 }))),
  );
  const made = await startBatch(openai, file, { metadata: { run: '7' }, completion_window: '15m' });
  expect(made).toMatchObject({
    object: 'batch',
    status: 'validating',
    metadata: { run: '7' },
    completion_window: '15m',
  });
  expect(made.expires_at! - made.created_at).toBe(15 * 60);
  const batch = await untilEnded(openai, made.id);
  expect([batch.status, batch.model, batch.error_file_id]).toEqual(['completed', 'gpt-5-mini', undefined]);
  const { output } = await resultsOf(openai, batch, ids);
  expect(output.every(({ response, error }) => response?.status_code === 200 && error === null)).toBe(true);
  const sum = (field: 'prompt_tokens' | 'completion_tokens') =>
    output.reduce((total, { response }) => total + response!.body.usage[field], 0);
  expect(batch.usage).toMatchObject({
    input_tokens: sum('prompt_tokens'),
    output_tokens: sum('completion_tokens'),
  });
  expect(batch.usage!.output_tokens).toBe(5 * ids.length);
  expect(arrivalsAt(sluice.simulator)).toHaveLength(ids.length);
  const written = await openai.files.retrieve(batch.output_file_id!);
  expect(written).toMatchObject({ purpose: 'batch_output', filename: `${batch.id}_output.jsonl` });
  const job = await sluice.get(`/v1/jobs/${output[0]!.response!.request_id}`);
  expect(await job.json()).toMatchObject({ metadata: { batch: batch.id, custom_id: output[0]!.custom_id } });
});

test('lines that fail are in the error file: with the provider’s answer, or with our own error', async () => {
  const ids = ['good', 'refused', 'broken'];
  const faults = [undefined, { status: 400 }, { dropBeforeResponse: true }];
  const file = await uploadLines(
    openai,
    ids.map((id, at) => chatLine(id, chat(id, faults[at]))),
  );
  const batch = await untilEnded(openai, (await startBatch(openai, file)).id);
  expect(batch.status).toBe('completed');
  const { output, errors } = await resultsOf(openai, batch, ids);
  expect(output.map(({ custom_id }) => custom_id)).toEqual(['good']);
  const refused = errors.find(({ custom_id }) => custom_id === 'refused')!;
  expect([refused.response?.status_code, refused.error]).toEqual([400, null]);
  const broken = errors.find(({ custom_id }) => custom_id === 'broken')!;
  expect([broken.response, broken.error?.code]).toEqual([null, 'provider_unreachable']);
  expect(broken.error!.message).toMatch(/provider/);
});

test('partial output can be read while it runs, goes on where it stopped, and is the start of the output file', async () => {
  const held = idsOf(10);
  const quick = idsOf(200).map((id) => `quick-${id}`);
  const file = await uploadLines(openai, [
    ...held.map((id) => chatLine(id, chat(id, { hang: true }))),
    ...quick.map((id) => chatLine(id, chat(id))),
  ]);
  const { id } = await startBatch(openai, file);
  let text = '';
  let after = '0';
  const sizes = new Set<number>();
  const readOn = async () => {
    const response = await sluice.get(`/v1/batches/${id}/output?after=${after}`);
    after = response.headers.get('x-sluice-output-after')!;
    text += await response.text();
    expect(text === '' || text.endsWith('\n')).toBe(true);
    sizes.add(parseLines(text).length);
    return parseLines(text).length;
  };
  await until('quick lines are readable', async () => (await readOn()) === quick.length);
  expect(sizes.size).toBeGreaterThan(2);
  const running = (await openai.batches.retrieve(id)) as Batch;
  expect(running).toMatchObject({
    status: 'in_progress',
    request_counts: { total: 210, completed: 200, failed: 0 },
  });
  expect(running.estimated_completion).toBeGreaterThanOrEqual(running.in_progress_at!);
  expect(running.estimated_completion).toBeLessThanOrEqual(running.expires_at!);
  const jobs = (await (await sluice.get(`/v1/jobs?status=running&metadata.batch=${id}`)).json()) as {
    data: { id: string }[];
  };
  expect(jobs.data).toHaveLength(held.length);
  for (const job of jobs.data) await sluice.post(`/v1/jobs/${job.id}/cancel`, '');
  const batch = await untilEnded(openai, id);
  expect(await readOn()).toBe(quick.length);
  expect(text).toBe(await (await openai.files.content(batch.output_file_id!)).text());
  const { errors } = await resultsOf(openai, batch, [...held, ...quick]);
  expect(errors.map(({ custom_id, error }) => `${custom_id} ${error!.code}`).toSorted()).toEqual(
    held.map((id) => `${id} cancelled`),
  );
  expect(batch.status).toBe('completed');
});

test('cancel keeps what was paid for: running lines finish, the others are in the error file, and nothing is called after', async () => {
  const ids = idsOf(400);
  const file = await uploadLines(
    openai,
    ids.map((id) => chatLine(id, chat(id, { delayMs: 700 }))),
  );
  const { id } = await startBatch(openai, file);
  await until('some have finished and some run', async () => {
    const { request_counts } = await openai.batches.retrieve(id);
    return request_counts!.completed > 0;
  });
  expect((await openai.batches.cancel(id)).status).toBe('cancelling');
  expect((await openai.batches.cancel(id)).status).not.toBe('in_progress');
  const batch = await untilEnded(openai, id);
  expect(batch.status).toBe('cancelled');
  expect(batch.cancelled_at).toBeGreaterThanOrEqual(batch.cancelling_at!);
  const { output, errors } = await resultsOf(openai, batch, ids);
  expect(output).toHaveLength(arrivalsAt(sluice.simulator).length);
  expect(new Set(errors.map(({ error }) => error!.code))).toEqual(new Set(['batch_cancelled']));
  expect([output.length, errors.length].every((count) => count > 0)).toBe(true);
  await expect(openai.batches.cancel(id)).rejects.toMatchObject({ status: 409, code: 'batch_already_ended' });
});

test('a batch whose time is over keeps what was paid for, and says of the rest that it expired', async () => {
  const ids = idsOf(200);
  const file = await uploadLines(
    openai,
    ids.map((id) => chatLine(id, chat(id, { delayMs: 700 }))),
  );
  const { id } = await startBatch(openai, file);
  await until(
    'some have finished',
    async () => (await openai.batches.retrieve(id)).request_counts!.completed > 0,
  );
  // Its driver keeps the time it read when it took the batch; a successor reads the new one.
  const redis = sluice.redis.connect();
  await redis.hset(
    keys.batch('acme', id),
    'expiresMs',
    Date.parse('2020-01-01'),
    'holder',
    'nobody',
    'leaseUntilMs',
    0,
  );
  redis.disconnect();
  const batch = await untilEnded(openai, id);
  expect(batch.status).toBe('expired');
  const { output, errors } = await resultsOf(openai, batch, ids);
  expect(output).toHaveLength(arrivalsAt(sluice.simulator).length);
  expect(new Set(errors.map(({ error }) => error!.code))).toEqual(new Set(['batch_expired']));
});

describe('a batch fails, with the numbers of its lines, for', () => {
  const good = JSON.stringify(chatLine('good', chat()));
  const changed = (change: Record<string, unknown>) =>
    JSON.stringify({ ...chatLine('bad', chat()), ...change });
  test.each([
    ['no JSON', 'nonsense', 'invalid_json_line', null],
    ['a JSON array', '[]', 'invalid_json_line', null],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0xc3, 0x28]), 'invalid_encoding', null],
    ['no custom_id', changed({ custom_id: undefined }), 'missing_required_parameter', 'custom_id'],
    ['a custom_id that is no text', changed({ custom_id: 7 }), 'missing_required_parameter', 'custom_id'],
    ['the custom_id of another line', changed({ custom_id: 'good' }), 'duplicate_custom_id', 'custom_id'],
    ['another method', changed({ method: 'GET' }), 'invalid_method', 'method'],
    ['another URL', changed({ url: '/v1/embeddings' }), 'invalid_url', 'url'],
    ['no body', changed({ body: undefined }), 'missing_required_parameter', 'body'],
    ['another model', changed({ body: { ...chat(), model: 'no-such-x' } }), 'mismatched_model', 'body.model'],
    [
      'a body that is no call',
      changed({ body: { model: 'gpt-5-mini' } }),
      'invalid_request',
      'body.messages',
    ],
    [
      'a body that would be streamed',
      changed({ body: { ...chat(), stream: true } }),
      'invalid_request',
      'body.stream',
    ],
    [
      'a model that is not served',
      changed({ body: { ...chat(), model: 'gpt-none' } }),
      'model_not_found',
      'body.model',
    ],
    ['__proto__', `{"__proto__":{},${changed({}).slice(1)}`, 'forbidden_property', null],
    ['a line of 5 MB', changed({ pad: 'x'.repeat(5_000_000) }), 'line_too_long', null],
  ])('%s', async (_what, line, code, param) => {
    const text = Buffer.concat([Buffer.from(`${good}\n\n`), Buffer.from(line), Buffer.from('\n')]);
    const id = await uploadText(openai, text);
    const batch = await untilEnded(openai, (await startBatch(openai, id)).id);
    expect([batch.status, batch.output_file_id, batch.request_counts!.total]).toEqual([
      'failed',
      undefined,
      0,
    ]);
    expect(batch.errors).toMatchObject({ object: 'list', data: [{ code, param, line: 3 }] });
    expect(batch.errors!.data![0]!.message).toMatch(/\w/);
    expect(arrivalsAt(sluice.simulator)).toEqual([]);
    await openai.files.delete(id);
  });

  test('an empty file, and one with only empty lines', async () => {
    for (const text of ['', '\n \r\n\n']) {
      const id = await uploadText(openai, text);
      const batch = await untilEnded(openai, (await startBatch(openai, id)).id);
      expect(batch).toMatchObject({
        status: 'failed',
        errors: { data: [{ code: 'empty_file', line: null }] },
      });
    }
  });
});

test('line ends of Windows, a mark of UTF-8, U+2028 in a prompt and a last line without an end are all fine', async () => {
  const lines = ['a', 'b', 'c'].map((id) => JSON.stringify(chatLine(id, chat('left\u2028right'))));
  const file = await uploadText(openai, `\ufeff${lines.join('\r\n')}`);
  const batch = await untilEnded(openai, (await startBatch(openai, file)).id);
  await resultsOf(openai, batch, ['a', 'b', 'c']);
  expect(batch.status).toBe('completed');
});

test('400, 404 and 429: what cannot become a batch', async () => {
  const file = await uploadLines(openai, [chatLine('a', chat())]);
  const refused = (more: Record<string, unknown>) => expect(startBatch(openai, file, more)).rejects;
  for (const completion_window of ['24', '14m', '8d', '1w', '-1h', ''])
    await refused({ completion_window }).toMatchObject({ status: 400, param: 'completion_window' });
  await refused({ endpoint: '/v1/nothing' }).toMatchObject({ status: 400, param: 'endpoint' });
  await refused({ metadata: { a: 'x'.repeat(513) } }).toMatchObject({ status: 400 });
  await refused({ input_file_id: `file_${'0'.repeat(32)}` }).toMatchObject({
    status: 404,
    code: 'file_not_found',
  });
  await refused({ input_file_id: '*' }).toMatchObject({ status: 404 });
  const rival = openaiAt(sluice.url, otherKey);
  await expect(startBatch(rival, file)).rejects.toMatchObject({ status: 404, code: 'file_not_found' });
  const limited = await startSluice({ withoutWorker: true, settings: { batches: { open_max: 1 } } });
  try {
    const client = openaiAt(limited.url);
    const input = await uploadLines(client, [chatLine('a', chat())]);
    await startBatch(client, input);
    await expect(startBatch(client, input)).rejects.toMatchObject({ status: 429, code: 'too_many_batches' });
  } finally {
    await limited.stop();
  }
});

test('an input file cannot be deleted while its batch runs; output files can, and take their bytes with them', async () => {
  const file = await uploadLines(openai, [chatLine('a', chat('a', { delayMs: 1_000 }))]);
  const { id } = await startBatch(openai, file);
  await expect(openai.files.delete(file)).rejects.toMatchObject({ status: 409, code: 'file_in_use' });
  const batch = await untilEnded(openai, id);
  expect((await openai.files.delete(file)).deleted).toBe(true);
  expect(await linesOf(openai, batch.output_file_id)).toHaveLength(1);
  await openai.files.delete(batch.output_file_id!);
  await expect(openai.files.content(batch.output_file_id!)).rejects.toThrow(OpenAI.NotFoundError);
});

test('batches are listed newest first and page by page, each tenant its own; a foreign one is 404', async () => {
  const rival = openaiAt(sluice.url, otherKey);
  const file = await uploadLines(rival, [chatLine('a', chat())]);
  const ids: string[] = [];
  for (let at = 0; at < 5; at++) ids.push((await startBatch(rival, file)).id);
  const seen: string[] = [];
  for await (const { id } of rival.batches.list({ limit: 2 })) seen.push(id);
  expect(seen).toEqual(ids.toReversed());
  for (const call of [
    () => openai.batches.retrieve(ids[0]!),
    () => openai.batches.cancel(ids[0]!),
    () => openai.batches.retrieve('../x'),
  ])
    await expect(call()).rejects.toThrow(OpenAI.NotFoundError);
  expect((await sluice.get(`/v1/batches/${ids[0]}/output`)).status).toBe(404);
  for (const id of ids) expect((await untilEnded(rival, id)).status).toBe('completed');
});
