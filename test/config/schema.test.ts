import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { renderReference } from '#config/reference.ts';
import { environmentOverrides, settingsSchema } from '#config/schema.ts';
import { readTree, type SourceFile } from '../architecture/source-file.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('REFERENCE.md is what `npm run reference` writes', () => {
  expect(readFileSync(`${root}/config/REFERENCE.md`, 'utf8')).toBe(renderReference());
});

const rows = [
  ...renderReference().matchAll(/^\| `([a-z_.<>[\]]+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$/gm),
];
const settings = rows.map(([, path]) => path!);

test('every setting of the schema has a row of its own', () => {
  expect(new Set(settings).size).toBe(settings.length);
  for (const group of Object.keys(settingsSchema.shape))
    expect(settings.some((path) => path.startsWith(`${group}.`))).toBe(true);
});

test.each(rows.map(([, path, type, preset, bounds, reason]) => ({ path, type, preset, bounds, reason })))(
  '$path says what it does, and has bounds if it is a number',
  ({ type, bounds, reason, path }) => {
    expect(reason).toMatch(/\.$/);
    if (type === 'integer') expect(bounds).toMatch(/\d – \d/);
    if (path!.endsWith('_ms')) expect(reason).toContain('Milliseconds.');
    if (path!.endsWith('_seconds')) expect(reason).toContain('Seconds.');
  },
);

test('every override of the environment names a setting that exists', () => {
  for (const path of Object.values(environmentOverrides)) expect(settings).toContain(path.join('.'));
});

/** Names that a file reads as a property, takes apart or passes on. */
function namesUsed({ nodes }: SourceFile): string[] {
  return nodes.filter(({ type }) => type === 'Identifier').map(({ name }) => String(name));
}

function ghosts(files: readonly SourceFile[]): string[] {
  const used = new Set(files.flatMap(namesUsed));
  return settings.filter((path) => !used.has(path.replace('[]', '').split('.').at(-1)!));
}

describe('ghost settings', () => {
  const product = readTree(root).filter(({ path }) => /^(?:services|shared)\//.test(path));

  test('there are none: every setting is read somewhere', () => {
    expect(ghosts(product)).toEqual([]);
  });

  test('one that nobody reads would be found', () => {
    const without = product.filter((file) => !namesUsed(file).includes('crashes_max'));
    expect(ghosts(without)).toContain('jobs.crashes_max');
  });
});
