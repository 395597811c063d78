import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { runCli } from '#test/harness/cli.ts';
import { withKey } from '../../../services/cli/edit-configuration.ts';

const configuration = `# ours
providers:
  openai: # the one
    dialect: openai
    base_url: http://127.0.0.1:1/v1
    credentials: [{ id: main, api_key: "\${PROVIDER_KEY:-sk-x}" }]   # never in git
    pools: { chat: { models: [gpt-5-mini] } }
customers:
  acme:
    keys:
      - { id: dev, key: sk-sl-secret-of-dev }  # the developers
  # the other one
  rival: { keys: [{ id: one, key: sk-sl-secret-of-one }] }
`;

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-keys-'));
  file = join(folder, 'sluice.yaml');
  await writeFile(file, configuration, { mode: 0o640 });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const cli = (...args: string[]) =>
  runCli(['keys', ...args], { env: { SLUICE_CONFIG: file, SLUICE_DATA_DIR: folder } });

describe('sluice keys', () => {
  test('ls shows whose keys there are, and no secret', async () => {
    const { code, stdout } = await cli('ls');
    expect(code).toBe(0);
    expect(stdout.split('\n')[1]).toMatch(/^acme +dev +sk-sl-secr…$/);
    expect(stdout).not.toContain('secret-of');
  });

  test('create prints a key nobody can guess, and changes nothing', async () => {
    const made = [await cli('create', 'acme'), await cli('create', 'acme')];
    for (const { code, stdout } of made) {
      expect(code).toBe(0);
      expect(stdout).toMatch(/^sk-sl-[\w-]{32}\n$/);
    }
    expect(made[0]!.stdout).not.toBe(made[1]!.stdout);
    expect(await readFile(file, 'utf8')).toBe(configuration);
  });

  test('create --write adds one line that a start reads, and leaves the rest, its comments and its mode alone', async () => {
    const { code, stdout } = await cli('create', 'acme', '--id', 'ci', '--write', '--json');
    expect(code).toBe(0);
    const { key } = JSON.parse(stdout) as { key: string };
    const text = await readFile(file, 'utf8');
    expect(text.replace(`      - { id: ci, key: ${key} }\n`, '')).toBe(configuration);
    expect((await stat(file)).mode & 0o777).toBe(0o640);
    expect(JSON.parse((await cli('ls', '--json')).stdout)).toMatchObject({
      keys: [{ id: 'dev' }, { tenant: 'acme', id: 'ci', key: `${key.slice(0, 10)}…` }, { tenant: 'rival' }],
    });
  });

  test.each([
    ['an unknown tenant', ['create', 'nobody'], '--new-tenant'],
    ['a name that is taken', ['create', 'acme', '--id', 'dev'], 'already'],
    ['a name that no start would read', ['create', 'acme', '--id', 'a b', '--write'], 'use letters'],
    ['no tenant among several', ['create'], 'rival'],
  ])('%s is refused, and the file stays as it is', async (_what, args, reason) => {
    const ended = await cli(...args);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain(reason);
    expect(await readFile(file, 'utf8')).toBe(configuration);
  });
});

describe('a configuration with one more key', () => {
  const entry = { id: 'new', key: 'sk-sl-new' };
  const keysOf = (text: string, tenant: string) =>
    (parseDocument(text).toJS() as { customers: Record<string, { keys: unknown[] }> }).customers[tenant]!
      .keys;

  test.each(['acme', 'rival', 'newcomer'])('has it for %s, and every line of before', (tenant) => {
    const edited = withKey(configuration, tenant, entry);
    expect(keysOf(edited, tenant).at(-1)).toEqual(entry);
    for (const line of configuration.split('\n').filter((each) => !each.includes('rival')))
      expect(edited.split('\n')).toContain(line);
    expect(edited).toContain('# the other one');
  });

  test.each([
    ['no newline at its end', configuration.trimEnd(), 'newcomer'],
    ['keys as blocks', 'customers:\n  a:\n    keys:\n      - id: one\n        key: x\n# end\n', 'a'],
    [
      'keys at the column of their list',
      'customers:\n  a:\n    keys:\n    - { id: one, key: x }\nhttp: {}\n',
      'a',
    ],
  ])('also where the file has %s', (_what, text, tenant) => {
    expect(keysOf(withKey(text, tenant, entry), tenant).at(-1)).toEqual(entry);
  });

  test('is refused where lines would have to be rewritten', () => {
    expect(() => withKey('customers: { a: { keys: [{ id: one, key: x }] } }\n', 'b', entry)).toThrow(
      'not edited here',
    );
  });
});
