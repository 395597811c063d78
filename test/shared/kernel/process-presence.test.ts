import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { platform } from 'node:os';
import { describe, expect, test } from 'vitest';
import { isProvenDead, ownPresence, presenceOf } from '#shared/kernel/process-presence.ts';
import { until } from '../../harness/until.ts';

/** A process that lives until it is killed. */
async function sleeper(): Promise<ChildProcess & { pid: number }> {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  await once(child, 'spawn');
  return child as ChildProcess & { pid: number };
}

describe.skipIf(platform() !== 'linux')('whether a process is proven dead', () => {
  const self = ownPresence();

  test('this one is not', () => {
    expect(self.host).not.toBe('');
    expect(self.startTicks).toMatch(/^\d+$/);
    expect(isProvenDead(self, self)).toBe(false);
  });

  test('a child is not while it lives, and is once it was killed and is gone', async () => {
    const child = await sleeper();
    const presence = presenceOf(child.pid);
    expect(isProvenDead(presence, self)).toBe(false);
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    expect(isProvenDead(presence, self)).toBe(true);
  });

  test('a killed process that nobody has waited for (a zombie) is', async () => {
    // The shell becomes `sleep`, which never waits for the child the shell had started.
    const parent = spawn('sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [output] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(output.toString());
    const presence = presenceOf(pid);
    expect(isProvenDead(presence, self)).toBe(false);
    process.kill(pid, 'SIGKILL');
    await until('the zombie is recognised', () => isProvenDead(presence, self));
    const ended = once(parent, 'exit');
    parent.kill('SIGKILL');
    await ended;
  });

  test('one whose process id was given to another is', () => {
    expect(isProvenDead({ ...self, startTicks: '1' }, self)).toBe(true);
  });

  test('a name with spaces and brackets does not hide the start time', async () => {
    const child = spawn(
      process.execPath,
      ['-e', `process.title = 'a) b (c'; console.log(1); setInterval(() => {}, 1e6)`],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    await once(child.stdout, 'data');
    expect(isProvenDead(presenceOf(child.pid!), self)).toBe(false);
    expect(presenceOf(child.pid!).startTicks).toMatch(/^\d+$/);
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });

  test('one on another machine never is, nor where machines cannot be told apart', () => {
    const dead = { ...self, startTicks: '1' };
    expect(isProvenDead({ ...dead, host: `${self.host}x` }, self)).toBe(false);
    expect(isProvenDead({ ...dead, host: '' }, { ...self, host: '' })).toBe(false);
  });
});
