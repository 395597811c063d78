/** How `sluice` ends; README.md repeats the table. */
export const exitCodes = {
  done: 0,
  /** Sluice, a job, a batch or a check of `doctor` says no. */
  failed: 1,
  /** The command line, an input file or the configuration is wrong. */
  usage: 2,
  unreachable: 3,
  keyRefused: 4,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** An end of the command that its user is told of in one or two sentences. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;
  /** What to do about it. */
  readonly hint: string | undefined;
  /** The code Sluice gave, such as `job_not_found`. */
  readonly code: string | undefined;

  constructor(exitCode: ExitCode, message: string, more: { hint?: string; code?: string } = {}) {
    super(message);
    this.exitCode = exitCode;
    this.hint = more.hint;
    this.code = more.code;
  }
}

export const usageError = (message: string, hint?: string) =>
  new CliError(exitCodes.usage, message, hint ? { hint } : {});
