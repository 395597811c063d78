import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { chat, chatBody, eventually, start, stopSimulators } from './support.ts';

const main = new URL('../../../loadtest/simulator/main.ts', import.meta.url).pathname;
const children = new Set<ChildProcess>();

afterEach(async () => {
  await stopSimulators();
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});

function run(...flags: string[]) {
  const child = spawn(process.execPath, [main, '--port', '0', ...flags], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.add(child);
  return child;
}

async function urlOf(child: ReturnType<typeof run>): Promise<string> {
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const [, url] = /^simulator listening on (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(line.toString()) ?? [];
  if (url === undefined) throw new Error(`unexpected first line: ${line.toString()}`);
  return url;
}

describe('the process', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'it stops cleanly on %s, with a call in progress',
    async (signal) => {
      const child = run('--first-byte-ms', '60000');
      const url = await urlOf(child);
      const asked = fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: 'Bearer k' },
        body: JSON.stringify(chatBody()),
      }).catch(() => 'cut');
      const inFlight = async () =>
        ((await (await fetch(`${url}/_sim/summary`)).json()) as { inFlight: number }).inFlight;
      await eventually(inFlight).toBe(1);
      const exited = once(child, 'exit');
      child.kill(signal);
      expect(await exited).toEqual([0, null]);
      expect(await asked).toBe('cut');
    },
  );

  test('it ends with its parent when told to', async () => {
    const child = run('--exit-with-parent');
    await urlOf(child);
    const exited = once(child, 'exit');
    child.stdin.end();
    expect(await exited).toEqual([0, null]);
  });

  test('limits come from a YAML file and keys from a flag', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'simulator-'));
    const file = join(folder, 'limits.yaml');
    await writeFile(file, 'scopes: [{ limits: [{ dimension: requests, amount: 1 }] }]\n');
    const url = await urlOf(run('--limits', file, '--keys', 'sk-a,sk-b'));
    const status = async (key: string) =>
      (
        await fetch(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${key}` },
          body: JSON.stringify(chatBody()),
        })
      ).status;
    expect([await status('sk-a'), await status('sk-b'), await status('sk-c')]).toEqual([200, 429, 401]);
    await rm(folder, { recursive: true });
  });
});

test.each([
  [['--jitter', '3'], 'jitter'],
  [['--limits', '/nowhere.yaml'], 'ENOENT'],
  [['--typo'], '--typo'],
])('wrong flags %j stop the start and are named', async (flags, named) => {
  const child = spawn(process.execPath, [main, '--port', '0', ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  children.add(child);
  let complaint = '';
  child.stderr.on('data', (bytes: Buffer) => {
    complaint += bytes.toString();
  });
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(complaint).toContain(named);
});

describe('garbage', () => {
  const sendRaw = async (port: number, text: string) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (bytes) => {
      answer += bytes.toString();
    });
    socket.on('error', () => undefined);
    socket.write(text);
    await once(socket, 'close');
    return answer;
  };

  test.each([
    ['no HTTP at all', '\0\x01\x02 what\r\n\r\n'],
    ['a header beyond the bound', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`],
    ['a length that is no number', 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n'],
  ])('%s is answered with 400, and the next call works', async (_name, text) => {
    const simulator = await start();
    expect(await sendRaw(simulator.port, text)).toMatch(/^HTTP\/1\.1 400 /);
    expect((await chat(simulator)).status).toBe(200);
  });

  test('a body beyond the bound is 413', async () => {
    const simulator = await start({ maxBodyBytes: 1000 });
    expect((await chat(simulator, chatBody('x'.repeat(2000)))).status).toBe(413);
    expect((await chat(simulator)).status).toBe(200);
  });

  const deep = '['.repeat(100_000) + ']'.repeat(100_000);
  test.each([
    ['a prompt', 400, `"messages":[{"role":"user","content":${deep}}]`],
    ['a field nobody reads', 200, `"messages":[{"role":"user","content":""}],"other":${deep}`],
    [
      'a field searched for markers',
      500,
      `"messages":[{"role":"user","content":"[[sim:{}]]"}],"other":${deep}`,
    ],
  ])('%s nested too deeply is %i, and the next call works', async (_name, status, fields) => {
    const simulator = await start({
      limits: { scopes: [{ limits: [{ dimension: 'concurrency', amount: 1 }] }] },
    });
    expect((await chat(simulator, `{"model":"m",${fields}}`)).status).toBe(status);
    expect((await chat(simulator)).status).toBe(200);
    expect(simulator.log.inFlight).toBe(0);
  });

  test('a client that leaves in the middle of its body leaves nothing behind', async () => {
    const simulator = await start();
    const socket = connect(simulator.port, '127.0.0.1');
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"mod');
    await once(socket, 'connect');
    socket.destroy();
    expect((await chat(simulator)).status).toBe(200);
    expect(simulator.log.nextSeq).toBe(1);
  });
});
