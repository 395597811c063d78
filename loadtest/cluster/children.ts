import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { executablePath } from '#config/load.ts';
import { systemClock } from '#shared/kernel/clock.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const keptLines = 40;
const readyTimeoutMs = 60_000;

export interface StartOptions {
  name: string;
  command: string;
  args: readonly string[];
  env?: Record<string, string>;
  /** A line of its output that says it is ready; without it the child counts as ready at once. */
  ready?: RegExp;
}

/** A child process with the end of its output. */
export interface Child {
  readonly name: string;
  readonly pid: number;
  /** The line that matched `ready`. */
  readonly readyLine: string;
  readonly output: () => string;
  /** Resolves with the exit code, or null when a signal ended it. */
  readonly ended: Promise<number | null>;
  signal(signal: NodeJS.Signals): void;
}

/**
 * The processes and folders of a run. None outlives it: whatever is left when this process exits, for whatever
 * reason it exits, is ended then.
 */
export class Children {
  readonly #live = new Set<ChildProcess>();
  readonly #folders: string[] = [];

  constructor() {
    process.once('exit', () => {
      for (const child of this.#live) child.kill('SIGKILL');
      for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    });
  }

  async folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-load-'));
    this.#folders.push(folder);
    return folder;
  }

  /** Starts a Node program of this project. */
  node(options: Omit<StartOptions, 'command'>): Promise<Child> {
    return this.start({ ...options, command: process.execPath });
  }

  async start(options: StartOptions): Promise<Child> {
    // A group of its own: Ctrl-C reaches this process alone, which then ends the others in its own order.
    const child = spawn(options.command, options.args, {
      cwd: root,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: executablePath(), ...options.env },
    });
    this.#live.add(child);
    const ended = new Promise<number | null>((resolve) => {
      const end = (code: number | null) => {
        this.#live.delete(child);
        resolve(code);
      };
      child.once('exit', end);
      child.once('error', () => end(null));
    });
    const lines: string[] = [];
    const output = () => lines.join('\n');
    const readyLine = await firstMatch(child, lines, ended, options);
    const signal = (name: NodeJS.Signals) => void child.kill(name);
    return { name: options.name, pid: child.pid!, readyLine, output, ended, signal };
  }
}

function firstMatch(
  child: ChildProcess,
  lines: string[],
  ended: Promise<number | null>,
  { name, ready }: StartOptions,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => reject(new Error(`${name} ${reason}:\n${lines.join('\n')}`));
    const timer = systemClock.after(readyTimeoutMs, () => fail('was not ready in time'));
    const take = (line: string) => {
      lines.push(line);
      if (lines.length > keptLines) lines.shift();
      if (!ready?.test(line)) return;
      timer.cancel();
      resolve(line);
    };
    for (const stream of [child.stdout!, child.stderr!]) createInterface({ input: stream }).on('line', take);
    void ended.then(() => {
      timer.cancel();
      fail('ended before it was ready');
    });
    if (!ready) {
      timer.cancel();
      resolve('');
    }
  });
}

/** Ends a child: asks first, and after `patienceMs` insists. */
export async function endChild(child: Child, patienceMs: number): Promise<void> {
  child.signal('SIGTERM');
  const patience = systemClock.after(patienceMs, () => child.signal('SIGKILL'));
  await child.ended;
  patience.cancel();
}
