/** What the bench asks of the load generator. */
export interface RunCommand {
  /** Where the calls go: scheme, host and port. */
  origin: string;
  path: string;
  headers: Record<string, string>;
  body: string;
  concurrency: number;
  warmupMs: number;
  measureMs: number;
}

/** What was seen during the measured interval; times are what the caller saw. */
export interface RunResult {
  kind: 'result';
  calls: number;
  seconds: number;
  latencyMsP50: number;
  latencyMsP99: number;
  answerBytes: number;
  /** Calls that failed, by HTTP status or error code, warm-up included. */
  errors: Record<string, number>;
}

/** `measuring` and `measured` mark the interval, so that the bench can read the CPU clocks of all processes. */
export type GeneratorEvent = { kind: 'measuring' } | { kind: 'measured' } | RunResult;
