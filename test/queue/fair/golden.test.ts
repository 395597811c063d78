import { expect, test } from 'vitest';
import { fairScripts } from '#shared/queue/fair/fair-scripts.ts';

// Whoever changes a script, or BullMQ's release, sees here what Redis will really run.
// Those that differ from `finish` only in the BullMQ script they wrap are left out.
const alike = ['delay', 'retry', 'putBack', 'awaitChildren'];
const reviewed = Object.entries(fairScripts).filter(([name]) => !alike.includes(name));

test.each(reviewed)('the expanded text of %s is the one that was reviewed', async (name, script) => {
  await expect(script.text).toMatchFileSnapshot(`golden/${name}.lua`);
});

test('no script names a key or an argument that it is not given', () => {
  for (const { text } of Object.values(fairScripts)) {
    const code = text.replace(/--\[\[[\s\S]*?\]\]/g, '').replace(/--.*$/gm, '');
    expect(code).not.toMatch(/(?<![\w.'"])(key|arg)\.\w+/);
  }
});
