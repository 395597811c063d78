import { hash } from 'node:crypto';
import { expect, test } from 'vitest';
import { compileLibrary } from '#shared/queue/fair/fair-library.ts';
import { fairLibrary, fairScripts } from '#shared/queue/fair/fair-scripts.ts';

// Whoever changes a script, or BullMQ's release, sees here which of the texts that Redis runs are no longer the reviewed
// ones. Digests, because the texts hold BullMQ's own scripts, which are read from its package.
test('the expanded scripts are the ones that were reviewed (`vitest run -u test/queue/fair` renews them)', async () => {
  const digests = [...fairLibrary.parts].map(([name, text]) => `${hash('sha256', text)}  ${name}\n`);
  await expect(digests.join('')).toMatchFileSnapshot('golden.txt');
});

test('a script that names a key or an argument that it is not given is refused', () => {
  const args = fairScripts.dispatch.args.filter((arg) => arg !== 'lockMs');
  expect(() => compileLibrary({ dispatch: { file: 'dispatch.lua', args } })).toThrow(
    'dispatch is not given arg.lockMs',
  );
});
