import { hash } from 'node:crypto';
import { expect, test } from 'vitest';
import { fairScripts } from '#shared/queue/fair/fair-scripts.ts';

// Whoever changes a script, or BullMQ's release, sees here which of the texts that Redis runs are no longer the reviewed
// ones. Digests, because the texts hold BullMQ's own scripts, which are read from its package.
test('the expanded scripts are the ones that were reviewed (`vitest run -u test/queue/fair` renews them)', async () => {
  const digests = Object.entries(fairScripts).map(([name, { text }]) => `${hash('sha256', text)}  ${name}\n`);
  await expect(digests.join('')).toMatchFileSnapshot('golden.txt');
});

test('no script names a key or an argument that it is not given', () => {
  for (const { text } of Object.values(fairScripts)) {
    const code = text.replace(/--\[\[[\s\S]*?\]\]/g, '').replace(/--.*$/gm, '');
    expect(code).not.toMatch(/(?<![\w.'"])(key|arg)\.\w+/);
  }
});
