import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { settingsSchema } from '#config/schema.ts';
import { ownPresence } from '#shared/kernel/process-presence.ts';
import { runCli } from '#test/harness/cli.ts';
import { type ConfigFile, writeConfiguration } from '#test/harness/processes.ts';
import { RedisProcess } from '#test/harness/redis-process.ts';
import { testConfiguration } from '#test/harness/test-settings.ts';
import { freePort } from '../../../loadtest/cluster/free-port.ts';
import { checkCeilings } from '../../../services/cli/doctor/check-ceilings.ts';
import { checkNode } from '../../../services/cli/doctor/check-machine.ts';

let redis: RedisProcess;
let provider: Server;
let config: ConfigFile;
let answer: number;
beforeEach(async () => {
  answer = 200;
  provider = createServer((_request, response) => response.writeHead(answer).end('{}')).listen(
    0,
    '127.0.0.1',
  );
  [redis] = await Promise.all([RedisProcess.start(), once(provider, 'listening')]);
  config = await writeConfiguration(`http://127.0.0.1:${(provider.address() as AddressInfo).port}`);
});
afterEach(async () => {
  provider.close();
  await Promise.all([redis.stop(), config.remove()]);
});

interface Found {
  code: number | null;
  state: (name: string) => string | undefined;
  detail: (name: string) => string | undefined;
}

async function doctor(env: Record<string, string> = {}): Promise<Found> {
  const base = { SLUICE_CONFIG: config.path, REDIS_URL: redis.url };
  const { code, stdout } = await runCli(['doctor', '--json'], { env: { ...base, ...env } });
  const { checks } = JSON.parse(stdout) as { checks: { name: string; state: string; detail: string }[] };
  const found = (name: string) => checks.find((check) => check.name === name);
  return { code, state: (name) => found(name)?.state, detail: (name) => found(name)?.detail };
}

describe('sluice doctor', () => {
  test('finds nothing to fail where all is well, and says so in a table', async () => {
    const { code, state } = await doctor();
    expect(code).toBe(0);
    for (const name of [
      'node',
      'configuration',
      'data folder',
      'redis',
      'redis persistence',
      'redis clock',
      'openai (main)',
    ])
      expect([name, state(name)]).toEqual([name, 'ok']);
    const env = { SLUICE_CONFIG: config.path, REDIS_URL: redis.url };
    const { stdout } = await runCli(['doctor'], { env });
    expect(stdout).toMatch(/^ok +redis +your Redis, \d+\.\d+\.\d+, evicts nothing, runs functions$/m);
    expect(stdout).toMatch(/^ceilings of openai\/chat: Set them/m);
  });

  test('fails for a Redis that would lose jobs, and warns where a crash would', async () => {
    const store = redis.connect();
    await store.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await store.config('SET', 'appendonly', 'no');
    store.disconnect();
    const { code, state, detail } = await doctor();
    expect([code, state('redis'), state('redis persistence')]).toEqual([1, 'fail', 'warn']);
    expect(detail('redis')).toContain('allkeys-lru');
  });

  test('fails for a Redis that is not there', async () => {
    const { code, state } = await doctor({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
    expect([code, state('redis')]).toEqual([1, 'fail']);
  });

  test('fails for a port that somebody else holds, and says who', async () => {
    const { port } = provider.address() as AddressInfo;
    const { code, state, detail } = await doctor({
      PORT: String(port),
      ADMIN_PORT: String(await freePort()),
    });
    expect([code, state('public port'), state('operations port')]).toEqual([1, 'fail', 'ok']);
    expect(detail('public port')).toContain(
      process.platform === 'linux' ? `process ${process.pid}` : 'taken',
    );
  });

  test('fails for a provider that refuses the key, or is away', async () => {
    answer = 401;
    const refused = await doctor();
    expect([refused.code, refused.state('openai (main)')]).toEqual([1, 'fail']);
    expect(refused.detail('openai (main)')).toContain('refuses the key');
    provider.close();
    provider.closeAllConnections();
    const away = await doctor();
    expect(away.detail('anthropic (main)')).toContain('ECONNREFUSED');
  });

  test('fails for a configuration that cannot be used, with every mistake', async () => {
    await writeFile(config.path, 'http: { port: none }\nqueues: {}\n');
    const { code, detail } = await doctor();
    expect(code).toBe(1);
    expect(detail('configuration')).toContain('http.port');
    expect(detail('configuration')).toContain('queues');
  });

  test('tells a lock that a killed Sluice left from one that is held', async () => {
    const folder = join(redis.dir, 'left');
    await mkdir(join(folder, 'redis'), { recursive: true });
    const lock = join(folder, 'redis', 'owner.json');
    await writeFile(lock, JSON.stringify({ app: { ...ownPresence(), startTicks: '1' } }));
    const name = 'lock of the data folder';
    expect((await doctor({ SLUICE_DATA_DIR: folder })).state(name)).toBe('warn');
    await writeFile(lock, JSON.stringify({ app: ownPresence() }));
    expect((await doctor({ SLUICE_DATA_DIR: folder })).detail(name)).toContain(`process ${process.pid}`);
  });
});

test('a Node that is too old fails, and one that is not tested warns', () => {
  expect(['20.20.2', '22.18.0', '22.19.0', '24.1.0'].map((version) => checkNode(version).state)).toEqual([
    'fail',
    'fail',
    'warn',
    'ok',
  ]);
});

describe('ceilings', () => {
  const settingsWith = (ceilings: Record<string, unknown>) =>
    settingsSchema.parse(
      testConfiguration('http://127.0.0.1:1', { providers: { openai: { pools: { chat: { ceilings } } } } }),
    );
  const live = (amount: number, said?: number) => [
    {
      ...{ provider: 'openai', pool: 'chat', waiting: 0, delayed: 0, inHand: 0, state: 'ready', heldMs: 0 },
      credentials: [],
      ceilings: [{ scope: 'main', name: 'rpm', used: 0, amount, ...(said === undefined ? {} : { said }) }],
    },
  ];
  const judged = (ceilings: Record<string, unknown>, running?: ReturnType<typeof live>) =>
    checkCeilings(settingsWith(ceilings), running).find(({ name }) => name === 'ceilings of openai/chat')!;

  test.each([
    ['none are set', 'warn', judged({})],
    ['they are in force', 'ok', judged({ rpm: 500 }, live(500))],
    ['nothing runs that could tell', 'ok', judged({ rpm: 500 })],
    ['others are in force', 'warn', judged({ rpm: 500 }, live(400))],
    ['the provider says less', 'warn', judged({ rpm: 500 }, live(500, 300))],
    ['the provider is followed', 'ok', judged({ rpm: 500, auto: true }, live(300, 300))],
    ['the provider says about the same', 'ok', judged({ rpm: 500 }, live(500, 495))],
  ])('%s: %s', (_what, state, check) => {
    expect(check.state).toBe(state);
  });
});
