import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { executablePath } from '#config/load.ts';
import { systemClock } from '#shared/kernel/clock.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const startTimeoutMs = 60_000;
const endTimeoutMs = 10_000;
const outputKept = 4_000;

/** One process of the bench. */
export interface Child {
  name: string;
  pid: number;
  process: ChildProcess;
}

export interface ChildOptions {
  name: string;
  args: readonly string[];
  /** The line that says it is ready; the first group, if any, is handed back. */
  ready: RegExp;
  environment?: Record<string, string>;
  /** Checkout to run it in; this one when left out. */
  folder?: string;
  /** Program to run; Node when left out. */
  command?: string;
  ipc?: boolean;
}

/** Every process the bench starts, so that all of them can be ended by their handles. */
export class Children {
  readonly #all: ChildProcess[] = [];
  #ending = false;

  /** Starts a process and waits until it says that it is ready. */
  async start(options: ChildOptions): Promise<{ child: Child; said: string }> {
    if (this.#ending) throw new Error('the bench is ending');
    const settings: SpawnOptions = {
      cwd: options.folder ?? root,
      env: { PATH: executablePath(), ...options.environment },
      stdio: options.ipc ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'],
    };
    const started = spawn(options.command ?? process.execPath, [...options.args], settings);
    this.#all.push(started);
    const said = await readyLine(started, options);
    return { child: { name: options.name, pid: started.pid!, process: started }, said };
  }

  /** Ends all processes, the youngest first; those that do not listen are killed. */
  async endAll(): Promise<void> {
    this.#ending = true;
    for (const child of this.#all.toReversed()) await end(child);
  }

  /** For the very end, when nothing can be awaited any more. */
  killAll(): void {
    for (const child of this.#all) child.kill('SIGKILL');
  }
}

function readyLine(child: ChildProcess, { name, ready }: ChildOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    const fail = (reason: string) => reject(new Error(`${name}: ${reason}\n${output}`));
    const timer = systemClock.after(startTimeoutMs, () => fail('not ready in time'));
    child.once('error', (error) => fail(String(error)));
    child.once('exit', (code) => {
      timer.cancel();
      fail(`ended with code ${code} before it was ready`);
    });
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on('line', (line) => {
        output = `${output}${line}\n`.slice(-outputKept);
        const found = ready.exec(line);
        if (!found) return;
        timer.cancel();
        resolve(found[1] ?? '');
      });
    }
  });
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;

async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child) || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = systemClock.after(endTimeoutMs, () => child.kill('SIGKILL'));
  await ended;
  timer.cancel();
}
