import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ownPresence } from '#shared/kernel/process-presence.ts';
import { CliProcess, runCli } from '#test/harness/cli.ts';
import { RedisProcess } from '#test/harness/redis-process.ts';
import { until } from '#test/harness/until.ts';

let dataDir: string;
let redis: RedisProcess;
beforeEach(async () => {
  [dataDir, redis] = await Promise.all([mkdtemp(join(tmpdir(), 'sluice-up-')), RedisProcess.start()]);
});
afterEach(async () => {
  await redis.stop();
  await rm(dataDir, { recursive: true, force: true });
});

test('up runs everything, commands beside it need no flags, and afterwards nothing is left that says it runs', async () => {
  const env = { SLUICE_DATA_DIR: dataDir, REDIS_URL: redis.url };
  const ports = { PORT: '0', ADMIN_PORT: '0', SIMULATOR_PORT: '0', SLUICE_LOG_LEVEL: 'silent' };
  const up = new CliProcess(['up'], { env: { ...env, ...ports } });
  await until('it is up', () => up.stdout.includes('Try it:'));
  const file = join(dataDir, 'running.json');
  const adminKey = join(dataDir, 'admin-key');
  const secretKey = join(dataDir, 'secret-key');
  expect(up.stdout + up.stderr).not.toContain((await readFile(secretKey, 'utf8')).trim());
  for (const kept of [file, adminKey, secretKey]) expect((await stat(kept)).mode & 0o777).toBe(0o600);
  expect(up.stdout).toContain(`key: ${(await readFile(adminKey, 'utf8')).trim()}\n`);
  expect(await runCli(['jobs', 'ls'], { env })).toMatchObject({ code: 0, stderr: 'No jobs.\n' });
  up.child.kill('SIGTERM');
  expect((await up.ended).code).toBe(0);
  await expect(stat(file)).rejects.toThrow('ENOENT');
});

test('what a killed Sluice left behind is not taken for one that runs', async () => {
  const owner = { ...ownPresence(), startTicks: '1' };
  const gone = { url: 'http://127.0.0.1:1', operationsUrl: 'http://127.0.0.1:1' };
  const running = { ...gone, key: 'sk-sl-old', adminKey: 'sk-sl-old-admin', owner };
  const env = { SLUICE_DATA_DIR: dataDir, PORT: '9', SLUICE_DEV_KEY: 'sk-sl-new' };
  await writeFile(join(dataDir, 'running.json'), JSON.stringify(running));
  const ended = await runCli(['jobs', 'ls'], { env });
  expect(ended.stderr).toContain('http://127.0.0.1:9');
});
