import type { Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Random } from '#shared/kernel/random.ts';
import { type CliError, type ExitCode, usageError } from './cli-error.ts';
import { SluiceClient } from './sluice-client.ts';

/** Options that every command takes. */
export interface CommonOptions {
  json?: boolean;
  url?: string;
  key?: string;
  operationsUrl?: string;
  adminKey?: string;
}

/** Where to reach Sluice. */
export interface Target {
  url: string;
  key: string;
  /** Unknown for a Sluice that was only named by its URL. */
  operationsUrl: string | undefined;
}

/** What a command gets from the start of the process: nothing of it reads the environment by itself. */
export interface CliContext {
  clock: Clock;
  random: Random;
  /** Writes lines to the standard output: what was asked for. */
  print: (text: string) => void;
  /** Writes to the standard output exactly this. */
  write: (text: string) => void;
  /** Copies bytes to the standard output, as fast as whoever reads it takes them. */
  copy: (bytes: AsyncIterable<Uint8Array>) => Promise<void>;
  /** Writes a line to the standard error: what happens meanwhile. */
  say: (text: string) => void;
  /** Whether a person watches the standard error, and the standard output. */
  watched: boolean;
  printWatched: boolean;
  /** The configuration file. */
  configFile: string;
  /** PATH. */
  executablePath: string;
  /** Reads that file, or another one. @throws CliError */
  loadSettings: (file?: string) => Settings;
  /** The target of the options, the environment, the Sluice that runs here, or the configuration. @throws CliError */
  findTarget: (options: CommonOptions) => Promise<Target>;
  /** Where the admin API should be, and its key; undefined when no key is known. @throws CliError */
  findAdmin: (options: CommonOptions) => Promise<{ url: string; key: string } | undefined>;
  /** A text with its `${VAR}` replaced by the environment. */
  fillText: (text: string) => string;
  /** Sets what the process ends with. */
  end: (code: ExitCode) => void;
}

export async function openClient(context: CliContext, options: CommonOptions): Promise<SluiceClient> {
  const { clock, say } = context;
  return new SluiceClient({ ...(await context.findTarget(options)), clock, say });
}

/** The operations port of a Sluice, which asks for no key. @throws CliError when it is not known where it is */
export async function openOperations(context: CliContext, options: CommonOptions): Promise<SluiceClient> {
  const { clock, say } = context;
  const url = options.operationsUrl ?? (await context.findTarget(options)).operationsUrl;
  if (!url)
    throw usageError('It is not known where the operations port is.', 'Name it with --operations-url.');
  return new SluiceClient({ url, key: undefined, clock, say });
}

/** An error as the user reads it. */
export function errorText({ message, hint, code }: CliError, json: boolean): string {
  if (json) return JSON.stringify({ error: { code: code ?? null, message, hint: hint ?? null } });
  return hint ? `${message}\n  ${hint}` : message;
}
