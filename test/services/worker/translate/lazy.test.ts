import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/** Packages of the AI SDK that are loaded with `entry`, in a process of its own. */
async function loadedWith(entry: string): Promise<string[]> {
  const script = `
    import { registerHooks } from 'node:module';
    const seen = new Set();
    registerHooks({
      resolve(specifier, context, next) {
        const found = next(specifier, context);
        const [, name] = /@ai-sdk\\/([a-z-]+)/.exec(found.url) ?? [];
        if (name) seen.add(name);
        return found;
      },
    });
    await import(${JSON.stringify(entry)});
    console.log(JSON.stringify([...seen]));
    process.exit(0);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  return JSON.parse(stdout) as string[];
}

test('a worker that translates nothing has loaded nothing of the AI SDK', async () => {
  expect(await loadedWith(`${process.cwd()}/services/worker/app.ts`)).toEqual([]);
  expect(await loadedWith('@ai-sdk/anthropic')).toContain('anthropic');
});
