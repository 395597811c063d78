import { createReadStream } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keys } from '#shared/redis/keys.ts';
import { startSluice, type TestSluice } from '../harness/sluice.ts';
import { otherKey, testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

let sluice: TestSluice;
const files = { max_bytes: 5_000_000, lines_max: 1_000, tenant_max_bytes: 12_000_000 };
beforeAll(async () => {
  sluice = await startSluice({
    withoutWorker: true,
    settings: { files: { ...files, upload_timeout_ms: 2_000 } },
  });
});
afterAll(() => sluice.stop());

const client = (apiKey = testKey) => new OpenAI({ apiKey, maxRetries: 0, baseURL: `${sluice.url}/v1` });
const line = (id: string) => `{"custom_id":"${id}","text":"\u2028 is no end of a line"}\n`;
const blobsOf = async (tenant: string): Promise<string[]> =>
  (await readdir(join(sluice.redis.dir, 'blobs', tenant, 'files')).catch(() => [] as string[])).toSorted();
const unfinished = () => readdir(join(sluice.redis.dir, 'blobs', '.unfinished')).catch(() => []);

/** A form by hand: what the official client would not send. */
function form(parts: { name: string; text: string; filename?: string }[]): { body: FormData } {
  const body = new FormData();
  for (const { name, text, filename } of parts) {
    if (filename === undefined) body.append(name, text);
    else body.append(name, new Blob([text]), filename);
  }
  return { body };
}

async function upload(parts: Parameters<typeof form>[0], key = testKey): Promise<Response> {
  return fetch(`${sluice.url}/v1/files`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    ...form(parts),
  });
}

async function codeOf(response: Response): Promise<string> {
  return ((await response.json()) as { error: { code: string } }).error.code;
}

describe('the openai package', () => {
  test('uploads a file, reads it back byte for byte, lists and deletes it', async () => {
    const text = line('a') + line('ä');
    const path = join(sluice.redis.dir, 'päth.jsonl');
    await writeFile(path, text);
    const made = await client().files.create({ file: createReadStream(path), purpose: 'batch' });
    expect(made).toMatchObject({
      object: 'file',
      bytes: Buffer.byteLength(text),
      purpose: 'batch',
      status: 'processed',
    });
    expect(made.expires_at! - made.created_at).toBe(30 * 86_400);
    expect(await (await client().files.content(made.id)).text()).toBe(text);
    expect(await client().files.retrieve(made.id)).toEqual(made);
    expect((await client().files.list()).data).toContainEqual(made);
    expect(await client().files.delete(made.id)).toEqual({ id: made.id, object: 'file', deleted: true });
    await expect(client().files.retrieve(made.id)).rejects.toThrow(OpenAI.NotFoundError);
    await expect(client().files.delete(made.id)).rejects.toThrow(OpenAI.NotFoundError);
    expect(await blobsOf('acme')).toEqual([]);
  });

  test('expires_after is kept, and refused outside of its bounds', async () => {
    const create = (seconds: number) =>
      client().files.create({
        file: Buffer.from(line('a')) as never,
        purpose: 'batch',
        expires_after: { anchor: 'created_at', seconds },
      });
    const file = await toFile(Buffer.from(line('a')), 'a.jsonl');
    const made = await client().files.create({
      file,
      purpose: 'batch',
      expires_after: { anchor: 'created_at', seconds: 3_600 },
    });
    expect(made.expires_at! - made.created_at).toBe(3_600);
    await client().files.delete(made.id);
    await expect(create(60)).rejects.toThrow();
  });

  test('pages through files in either order', async () => {
    const ids: string[] = [];
    for (let at = 0; at < 5; at++) {
      const file = await toFile(Buffer.from(line(String(at))), `${at}.jsonl`);
      ids.push((await client().files.create({ file, purpose: 'batch' })).id);
    }
    const all = async (order: 'asc' | 'desc') => {
      const seen: string[] = [];
      for await (const { id } of client().files.list({ limit: 2, order })) seen.push(id);
      return seen;
    };
    expect(await all('asc')).toEqual(ids);
    expect(await all('desc')).toEqual(ids.toReversed());
    expect((await client().files.list({ purpose: 'batch_output' })).data).toEqual([]);
    expect((await client(otherKey).files.list()).data).toEqual([]);
    for (const id of ids) await client().files.delete(id);
  });

  test('404: another tenant’s file does not exist on any route, and what is no id neither', async () => {
    const file = await toFile(Buffer.from(line('secret')), 'a.jsonl');
    const { id } = await client().files.create({ file, purpose: 'batch' });
    const rival = client(otherKey);
    for (const call of [
      () => rival.files.retrieve(id),
      () => rival.files.content(id),
      () => rival.files.delete(id),
      () => client().files.retrieve('../../etc/passwd'),
      () => client().files.content(`file_${'0'.repeat(31)}/`),
    ])
      await expect(call()).rejects.toThrow(OpenAI.NotFoundError);
    expect(await (await client().files.content(id)).text()).toBe(line('secret'));
    await client().files.delete(id);
  });
});

const good = { name: 'purpose', text: 'batch' };
describe('refused, and nothing is left behind:', () => {
  test.each([
    [
      'a file that is too large',
      [{ name: 'file', text: 'x'.repeat(6_000_000), filename: 'a' }, good],
      413,
      'file_too_large',
    ],
    [
      'a file with too many lines',
      [{ name: 'file', text: '\n'.repeat(1_001), filename: 'a' }, good],
      413,
      'too_many_lines',
    ],
    [
      'another purpose',
      [
        { name: 'file', text: '{}', filename: 'a' },
        { name: 'purpose', text: 'vision' },
      ],
      400,
      'invalid_upload',
    ],
    ['no purpose', [{ name: 'file', text: '{}', filename: 'a' }], 400, 'invalid_upload'],
    ['no file', [good], 400, 'invalid_upload'],
    ['a file in another field', [good, { name: 'data', text: '{}', filename: 'a' }], 400, 'invalid_upload'],
    [
      'two files',
      [good, ...['a', 'b'].map((filename) => ({ name: 'file', text: '{}', filename }))],
      400,
      'invalid_upload',
    ],
    ['too many fields', 'abcdefghi'.split('').map((name) => ({ name, text: 'x' })), 400, 'invalid_upload'],
  ])('%s', async (_what, parts, status, code) => {
    const response = await upload(parts);
    expect([response.status, await codeOf(response)]).toEqual([status, code]);
    expect(await blobsOf('acme')).toEqual([]);
    await until('nothing unfinished', async () => (await unfinished()).length === 0);
    expect((await client().files.list()).data).toEqual([]);
  });

  test('what is no form', async () => {
    const json = await sluice.post('/v1/files', { file: 'x', purpose: 'batch' });
    expect([json.status, await codeOf(json)]).toEqual([400, 'invalid_upload']);
    const broken = await fetch(`${sluice.url}/v1/files`, {
      method: 'POST',
      headers: { authorization: `Bearer ${testKey}`, 'content-type': 'multipart/form-data; boundary=x' },
      body: '--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n{}',
    });
    expect([broken.status, await codeOf(broken)]).toEqual([400, 'invalid_upload']);
    expect(await blobsOf('acme')).toEqual([]);
  });

  test('a tenant that has no room left, and only that tenant', async () => {
    const big = [{ name: 'file', text: 'x'.repeat(4_900_000), filename: 'a' }, good];
    expect((await upload(big)).status).toBe(200);
    expect((await upload(big)).status).toBe(200);
    const refused = await upload(big);
    expect([refused.status, await codeOf(refused)]).toEqual([413, 'file_too_large']);
    expect((await upload(big, otherKey)).status).toBe(200);
    for (const key of [testKey, otherKey])
      for await (const { id } of client(key).files.list()) await client(key).files.delete(id);
    const redis = sluice.redis.connect();
    expect(await redis.mget(keys.fileBytes('acme'), keys.fileBytes('rival'))).toEqual(['0', '0']);
    redis.disconnect();
  });

  test('a sender that goes away, and one that never ends', async () => {
    const { port } = new URL(sluice.url);
    const head = [
      'POST /v1/files HTTP/1.1',
      'host: x',
      `authorization: Bearer ${testKey}`,
      'content-type: multipart/form-data; boundary=x',
      'content-length: 1000000',
      '',
      '--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n{}',
    ].join('\r\n');
    const leaving = connect(Number(port), '127.0.0.1').on('error', () => undefined);
    leaving.write(head);
    await until('it is being written', async () => (await unfinished()).length === 1);
    leaving.destroy();
    await until('nothing is left', async () => (await unfinished()).length === 0);
    const answer = Promise.withResolvers<string>();
    const slow = connect(Number(port), '127.0.0.1').on('data', (bytes) => answer.resolve(bytes.toString()));
    slow.write(head);
    expect(await answer.promise).toMatch(/^HTTP\/1\.1 408 /);
    slow.destroy();
    await until('nothing is left', async () => (await unfinished()).length === 0);
    expect(await blobsOf('acme')).toEqual([]);
  });
});

test('expired files and forgotten blobs are removed, and nothing else', async () => {
  const swept = await startSluice({
    withoutWorker: true,
    settings: { files: { sweep_ms: 50, sweep_batch: 2, orphan_seconds: 1 } },
  });
  const redis = swept.redis.connect();
  try {
    const openai = new OpenAI({ apiKey: testKey, maxRetries: 0, baseURL: `${swept.url}/v1` });
    const ids: string[] = [];
    for (let at = 0; at < 4; at++) {
      const file = await toFile(Buffer.from(line(String(at))), 'a.jsonl');
      ids.push((await openai.files.create({ file, purpose: 'batch' })).id);
    }
    const folder = join(swept.redis.dir, 'blobs', 'acme', 'files');
    await writeFile(join(folder, `file_${'0'.repeat(32)}`), 'nobody knows it');
    await redis.hset(keys.file('acme', ids[1]!), 'expiresMs', 1);
    await redis.zadd(keys.fileExpiry('acme'), 1, ids[1]!);
    const left = [ids[0]!, ids[2]!, ids[3]!].toSorted();
    await until('both are gone', async () => (await readdir(folder)).length === 3);
    expect((await readdir(folder)).toSorted()).toEqual(left);
    expect((await openai.files.list()).data.map(({ id }) => id).toSorted()).toEqual(left);
    expect(await redis.get(keys.fileBytes('acme'))).toBe(String(3 * Buffer.byteLength(line('0'))));
  } finally {
    redis.disconnect();
    await swept.stop();
  }
});
