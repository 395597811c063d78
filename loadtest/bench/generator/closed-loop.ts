import { Client, type Dispatcher } from 'undici';
import { systemClock } from '#shared/kernel/clock.ts';
import { percentile } from '../percentile.ts';
import type { GeneratorEvent, RunCommand, RunResult } from './protocol.ts';

const timeoutMs = 30_000;
/** A server that refuses at once must not be asked in a busy loop. */
const pauseAfterErrorMs = 10;
const okStatus = 200;

/** What all callers of one run share. */
class Run {
  readonly command: RunCommand;
  readonly samplesMs: number[] = [];
  readonly errors: Record<string, number> = {};
  answerBytes = 0;
  recording = false;
  stopped = false;

  constructor(command: RunCommand) {
    this.command = command;
  }

  fail(reason: string): void {
    this.errors[reason] = (this.errors[reason] ?? 0) + 1;
  }
}

/**
 * One caller: a connection of its own with one call at a time, the next as soon as the last is answered. It uses
 * undici's dispatch interface and itself as the handler, because the generator shares its cores with what it measures.
 */
class Caller implements Dispatcher.DispatchHandler {
  readonly #run: Run;
  readonly #client: Client;
  readonly #request: Dispatcher.DispatchOptions;
  readonly #ended = Promise.withResolvers<void>();
  #startedMs = 0;
  #status = 0;

  constructor(run: Run) {
    this.#run = run;
    const { origin, path, headers, body } = run.command;
    this.#request = { origin, path, method: 'POST', headers, body };
    this.#client = new Client(origin, {
      pipelining: 1,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      keepAliveTimeout: timeoutMs,
    });
  }

  async untilEnded(): Promise<void> {
    await this.#ended.promise;
    await this.#client.destroy();
  }

  call(): void {
    if (this.#run.stopped) {
      this.#ended.resolve();
      return;
    }
    this.#startedMs = systemClock.monotonicMs();
    this.#status = 0;
    this.#client.dispatch(this.#request, this);
  }

  onRequestStart(): void {
    // Required by undici for the handler to be recognised.
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number): void {
    this.#status = statusCode;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#run.recording) this.#run.answerBytes += chunk.length;
  }

  onResponseEnd(): void {
    if (this.#status !== okStatus) {
      this.#failed(String(this.#status));
      return;
    }
    if (this.#run.recording) this.#run.samplesMs.push(systemClock.monotonicMs() - this.#startedMs);
    this.call();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#failed((error as { code?: string }).code ?? error.name);
  }

  #failed(reason: string): void {
    this.#run.fail(reason);
    void systemClock.sleep(pauseAfterErrorMs).then(() => this.call());
  }
}

/** Keeps `concurrency` calls open for the warm-up and the measured time, lets the last ones end, and sums up. */
export async function runClosedLoop(
  command: RunCommand,
  tell: (event: GeneratorEvent) => void,
): Promise<RunResult> {
  const run = new Run(command);
  const callers = Array.from({ length: command.concurrency }, () => new Caller(run));
  for (const caller of callers) caller.call();
  await systemClock.sleep(command.warmupMs);
  tell({ kind: 'measuring' });
  const startedMs = systemClock.monotonicMs();
  run.recording = true;
  await systemClock.sleep(command.measureMs);
  run.recording = false;
  const seconds = (systemClock.monotonicMs() - startedMs) / 1_000;
  tell({ kind: 'measured' });
  run.stopped = true;
  await Promise.all(callers.map((caller) => caller.untilEnded()));
  const sorted = Float64Array.from(run.samplesMs).sort();
  return {
    kind: 'result',
    calls: sorted.length,
    seconds,
    latencyMsP50: percentile(sorted, 0.5),
    latencyMsP99: percentile(sorted, 0.99),
    answerBytes: Math.round(run.answerBytes / Math.max(1, sorted.length)),
    errors: run.errors,
  };
}
