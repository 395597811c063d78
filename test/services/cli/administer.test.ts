import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '#test/harness/cli.ts';
import { chat, startSluice, type TestSluice } from '#test/harness/sluice.ts';
import { testAdminKey } from '#test/harness/test-settings.ts';

let sluice: TestSluice;
let folder: string;
let operationsUrl: string;
beforeAll(async () => {
  sluice = await startSluice({ withAdmin: true, withoutWorker: true });
  // One call that ended, for what was used.
  const made = await sluice.post('/v1/jobs', { endpoint: '/v1/chat/completions', body: chat() });
  await sluice.post(`/v1/jobs/${((await made.json()) as { id: string }).id}/cancel`, {});
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

test('keys are made, listed and revoked in a Sluice that runs, and no secret is shown twice', async () => {
  const made = await cli(['keys', 'create', 'acme', '--name', 'nightly', '--json']);
  const { id, key } = JSON.parse(made.stdout) as { id: string; key: string };
  expect({ id, code: made.code }).toEqual({ id: 'acme/nightly', code: 0 });
  const { stdout } = await cli(['keys', 'ls']);
  expect(stdout).toMatch(/^TENANT +ID +KEY +TEAM +STATE +SOURCE\n/);
  expect(stdout).toMatch(/^acme +nightly +sk-sl-\S{3}…\S{4} +- +active +changed$/m);
  expect(stdout).not.toContain(key);
  expect(await cli(['keys', 'revoke', 'acme/nightly'])).toMatchObject({
    code: 0,
    stdout: 'acme/nightly is revoked.\n',
  });
  expect((await cli(['keys', 'ls'])).stdout).toMatch(/^acme +nightly +\S+ +- +revoked +changed$/m);
});

test('usage is told by customer, key and day, as a table, as JSON and as CSV', async () => {
  const table = await cli(['usage', '--by', 'customer,day']);
  expect({ code: table.code, head: table.stdout.split('\n')[0] }).toEqual({
    code: 0,
    head: expect.stringMatching(
      /^CUSTOMER +DAY +CALLS +FAILED +INPUT +CACHED +OUTPUT +WASTED +COST$/,
    ) as string,
  });
  expect(table.stdout).toMatch(/^acme +\d{4}-\d\d-\d\d +1 +0 +/m);
  expect(table.stdout).toMatch(/^total +1 +0 +/m);
  const csv = await cli(['usage', '--by', 'key', '--customer', 'acme', '--csv']);
  expect(csv.stdout).toMatch(/^key,calls,failures,.*\ntest,1,0,/);
  const json = await cli(['usage', '--by', 'model', '--json']);
  expect(JSON.parse(json.stdout)).toMatchObject({ group_by: ['model'], total: { calls: 1 } });
  expect((await cli(['usage', '--by', 'colour'])).code).toBe(1);
});

test('a wrong admin key is told as such, and a Sluice that is away too', async () => {
  const wrong = await cli(['customers', 'ls'], { SLUICE_ADMIN_KEY: 'sk-sl-not-the-key-at-all' });
  expect(wrong.code).toBe(4);
  const away = await runCli(['customers', 'ls', '--operations-url', 'http://127.0.0.1:1'], {
    env: { SLUICE_ADMIN_KEY: testAdminKey, SLUICE_DATA_DIR: folder },
  });
  expect(away.code).toBe(3);
});

test('an imported configuration can be put in while Sluice runs: all of it or nothing, and what lacks a secret is named', async () => {
  const file = join(folder, 'config.yaml');
  await writeFile(
    file,
    `model_list:
  - { model_name: one, litellm_params: { model: groq/one, api_key: os.environ/GROQ_KEY_OF_TEST, rpm: 30 } }
  - { model_name: two, litellm_params: { model: mistral/two, api_key: os.environ/NO_SUCH_KEY } }
`,
  );
  const apply = ['import', 'litellm', file, '--apply'];
  const first = await cli(apply, { GROQ_KEY_OF_TEST: 'sk-groq-of-the-test' });
  expect(first.code).toBe(0);
  expect(first.stdout.split('\n')).toEqual([
    'providers/groq',
    'providers/mistral',
    'credentials/groq/groq-key-of-test',
    'pools/groq/one',
    'pools/mistral/all',
    'customers/default',
    '',
  ]);
  expect(first.stderr).toContain('credentials/mistral/no-such-key: its secret is not in the environment');
  const pool = await (await sluice.admin('GET', '/admin/pools/groq/one')).json();
  expect(pool).toMatchObject({ settings: { models: ['one'], ceilings: { rpm: 30 } } });
  const again = await cli(apply, { GROQ_KEY_OF_TEST: 'sk-groq-of-the-test' });
  expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining('--replace') as string });
  expect((await cli([...apply, '--replace'], { GROQ_KEY_OF_TEST: 'sk-groq-of-the-test' })).code).toBe(0);
});
