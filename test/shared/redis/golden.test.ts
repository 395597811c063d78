import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { readTree } from '../../architecture/source-file.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const files = readdirSync(`${root}/shared`, { recursive: true, encoding: 'utf8' })
  // The scripts of the fair queue are put together differently; test/queue/fair holds their texts.
  .filter((file) => file.endsWith('.lua') && !file.startsWith('queue/fair/'))
  // Included parts stand in the texts of the scripts that use them.
  .filter((file) => !file.includes('/includes/'))
  .toSorted();

const defined = vi.hoisted(() => new Map<string, string>());
vi.mock('#shared/redis/script.ts', async (original) => {
  const module = await original<typeof import('#shared/redis/script.ts')>();
  const defineScript: typeof module.defineScript = (definition) => {
    const script = module.defineScript(definition);
    defined.set(fileURLToPath(definition.file), script.text);
    return script;
  };
  return { ...module, defineScript };
});

/** Every file that defines a script, imported: `defined` then holds them all. */
const definers = readTree(root).filter(
  ({ path, text }) =>
    path.startsWith('shared/') && path !== 'shared/redis/script.ts' && text.includes('defineScript('),
);
await Promise.all(definers.map(({ path }) => import(`${root}/${path}`)));

test('every Lua file is defined as a script', () => {
  expect([...defined.keys()].toSorted()).toEqual(files.map((file) => `${root}shared/${file}`));
});

describe.each(files)('%s', (file) => {
  const name = file.split('/').at(-1)!.replace('.lua', '');
  const text = readFileSync(`${root}/shared/${file}`, 'utf8');

  test('is sent to Redis as test/golden says (`vitest run -u test/shared/redis` renews it)', async () => {
    await expect(defined.get(`${root}shared/${file}`)).toMatchFileSnapshot(`${root}test/golden/${name}.lua`);
  });

  test('has a head that says what it grants, its keys, arguments, reply and cost', () => {
    const head = text.split('\n').filter((line) => line.startsWith('--'));
    expect(head[0]).toMatch(new RegExp(`^-- ${name}: [A-Za-z].*\\.$`));
    const words = head.map((line) => /^-- (\S+)/.exec(line)?.[1]);
    expect(words).toEqual(expect.arrayContaining(['KEYS', 'ARGV', 'reply', 'cost']));
  });

  test('takes its keys and arguments by name, and has none of its own', () => {
    expect(text).not.toMatch(/redis\.p?call\('[A-Z]+', *['"]/);
    expect(text).not.toMatch(/KEYS\[|ARGV\[\d/);
  });
});
