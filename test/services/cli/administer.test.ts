import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '#test/harness/cli.ts';
import { startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { testAdminKey } from '#test/harness/test-settings.ts';

let sluice: TestSluice;
let folder: string;
let operationsUrl: string;
beforeAll(async () => {
  sluice = await startSluice({ withAdmin: true, withoutWorker: true });
  operationsUrl = new URL((await sluice.admin('GET', '/healthz')).url).origin;
  folder = await mkdtemp(join(tmpdir(), 'sluice-admin-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await sluice.stop();
});

const cli = (args: string[], env: Record<string, string> = {}) =>
  runCli([...args, '--operations-url', operationsUrl], {
    env: { SLUICE_ADMIN_KEY: testAdminKey, SLUICE_DATA_DIR: folder, ...env },
  });

test('customers are made, listed, changed, paused and taken out in a Sluice that runs', async () => {
  const made = await cli(['customers', 'create', 'globex', '--weight', '3', '--name', 'Globex']);
  expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^globex is in force/) as string });
  expect((await cli(['customers', 'pause', 'globex'])).code).toBe(0);
  const { stdout } = await cli(['customers', 'ls']);
  expect(stdout).toMatch(/^CUSTOMER +WEIGHT +STATE +NAME +SOURCE\n/);
  expect(stdout).toMatch(/^acme +1 +served +- +file$/m);
  expect(stdout).toMatch(/^globex +3 +paused +Globex +changed$/m);
  expect((await cli(['customers', 'rm', 'globex'])).code).toBe(0);
  expect(await cli(['customers', 'rm', 'acme'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('configuration file') as string,
  });
});

test('a wrong admin key is told as such, and a Sluice that is away too', async () => {
  const wrong = await cli(['customers', 'ls'], { SLUICE_ADMIN_KEY: 'sk-sl-not-the-key-at-all' });
  expect(wrong.code).toBe(4);
  const away = await runCli(['customers', 'ls', '--operations-url', 'http://127.0.0.1:1'], {
    env: { SLUICE_ADMIN_KEY: testAdminKey, SLUICE_DATA_DIR: folder },
  });
  expect(away.code).toBe(3);
});
