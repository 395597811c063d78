import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { afterEach, expect, test } from 'vitest';
import { executablePath } from '#config/load.ts';
import { FaultSystem } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import { testKey } from '../harness/test-settings.ts';
import { until } from '../harness/until.ts';

let system: FaultSystem | undefined;
let children: ChildProcess[] = [];
/** Whether anything of a process group runs. */
function runs(group: number): boolean {
  try {
    return process.kill(-group, 0);
  } catch {
    return false;
  }
}

afterEach(async () => {
  for (const { pid } of children) if (runs(pid!)) process.kill(-pid!, 'SIGTERM');
  // npm ends at once; what it ran still needs its Redis to stop.
  for (const { pid } of children) await until('all of it has ended', () => !runs(pid!));
  children = [];
  await system?.stop();
});

/** Resolves with the line in which the process says that it is ready. */
async function npmRun(faults: FaultSystem, args: string[], ready: string): Promise<{ port: number }> {
  const child = spawn('npm', ['run', ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: executablePath(),
      HOME: faults.redis.dir,
      SLUICE_CONFIG: faults.config.path,
      REDIS_URL: faults.redis.url,
    },
  });
  children.push(child);
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const line = await until(ready, () => lines.find((each) => each.includes(`"${ready}"`)));
  return JSON.parse(line) as { port: number };
}

test('npm run ingress and npm run worker -- --pool serve the pools they are told, and follow the configuration', async () => {
  system = await FaultSystem.start();
  const faults = system;
  const [{ port }] = await Promise.all([
    npmRun(faults, ['ingress'], 'ingress ready'),
    npmRun(faults, ['worker', '--', '--pool', 'openai/*'], 'worker ready'),
  ]);
  const ask = async (path: string, body: Record<string, unknown>) => {
    const headers = {
      authorization: `Bearer ${testKey}`,
      'content-type': 'application/json',
      prefer: 'wait=1',
    };
    const url = `http://127.0.0.1:${port}${path}`;
    return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).status;
  };
  const added = { ...chat(), model: 'gpt-9' };
  expect(await ask('/v1/chat/completions', chat())).toBe(200);
  expect(await ask('/v1/messages', { ...chat(), model: 'claude-sonnet-5', max_tokens: 5 })).toBe(202);
  expect(await ask('/v1/chat/completions', added)).toBe(404);
  await faults.config.replace({
    providers: { openai: { pools: { next: { models: ['gpt-9'], concurrency: 4 } } } },
  });
  await until('it is served', async () => (await ask('/v1/chat/completions', added)) === 200);
});
