import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { executablePath } from '#config/load.ts';
import { testKey } from './test-settings.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface CliOptions {
  /** Sluice to talk to; without one, the command looks for it by itself. */
  url?: string;
  key?: string;
  env?: Record<string, string>;
  /** What it reads from its standard input. */
  input?: string;
  cwd?: string;
}

export interface CliEnd {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A `sluice` command as a real process. */
export class CliProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<CliEnd>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], { url, key = testKey, env, input, cwd = root }: CliOptions = {}) {
    const target = url ? { SLUICE_URL: url, SLUICE_KEY: key } : {};
    this.child = spawn(process.execPath, [`${root}/config/sluice.mjs`, ...args], {
      cwd,
      env: { PATH: executablePath(), ...target, ...env },
    });
    this.child.stdout!.on('data', (chunk) => (this.stdout += String(chunk)));
    this.child.stderr!.on('data', (chunk) => (this.stderr += String(chunk)));
    this.child.stdin!.end(input);
    this.ended = once(this.child, 'close').then(([code]) => ({
      code: code as number | null,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }
}

/** Runs a command to its end. */
export const runCli = (args: readonly string[], options?: CliOptions): Promise<CliEnd> =>
  new CliProcess(args, options).ended;
