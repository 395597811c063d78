import { systemClock } from '#shared/kernel/clock.ts';
import { benchBody, benchKey, callPath } from './bench-call.ts';
import type { Child } from './children.ts';
import { cpuTimeUs } from './cpu-time.ts';
import type { GeneratorEvent, RunCommand, RunResult } from './generator/protocol.ts';
import type { TargetName } from './options.ts';
import type { Target } from './targets.ts';

/** One visit to one target at one latency and concurrency. */
export interface Visit extends Omit<RunResult, 'kind'> {
  target: TargetName;
  latencyMs: number;
  concurrency: number;
  round: number;
  /** CPU microseconds per call by process name. */
  cpuUsPerCall: Record<string, number>;
}

export interface MeasureParts {
  generator: Child;
  simulator: Child;
  warmupMs: number;
  measureMs: number;
}

const answerTimeoutMs = 60_000;

interface CpuSample {
  atMs: number;
  us: number[];
}

function sampleCpu(processes: readonly Child[]): CpuSample {
  return { atMs: systemClock.monotonicMs(), us: processes.map(({ pid }) => cpuTimeUs(pid)) };
}

/** Loads one target and reads the CPU clocks of its processes, the simulator and the generator around it. */
export async function measure(
  parts: MeasureParts,
  target: Target,
  concurrency: number,
): Promise<Omit<Visit, 'target' | 'latencyMs' | 'concurrency' | 'round'>> {
  const { generator, simulator, warmupMs, measureMs } = parts;
  const processes = [...target.processes, simulator, generator];
  const headers = {
    'content-type': 'application/json',
    authorization: `Bearer ${benchKey}`,
    ...target.headers,
  };
  const command: RunCommand = {
    origin: target.origin,
    path: callPath,
    headers,
    body: benchBody(),
    concurrency,
    warmupMs,
    measureMs,
  };
  let before: CpuSample | undefined;
  let after: CpuSample | undefined;
  const { kind: _kind, ...result } = await run(generator, command, (mark) => {
    if (mark === 'measuring') before = sampleCpu(processes);
    else after = sampleCpu(processes);
  });
  // The marks arrive a little late under load, so CPU time is taken as a rate over the time between the samples.
  const sampledSeconds = (after!.atMs - before!.atMs) / 1_000;
  const callsPerSecond = result.calls / result.seconds;
  const cpuUsPerCall = Object.fromEntries(
    processes.map(({ name }, index) => [
      name,
      (after!.us[index]! - before!.us[index]!) / sampledSeconds / callsPerSecond,
    ]),
  );
  return { ...result, cpuUsPerCall };
}

function run(
  generator: Child,
  command: RunCommand,
  onMark: (mark: 'measuring' | 'measured') => void,
): Promise<RunResult> {
  const { process } = generator;
  return new Promise((resolve, reject) => {
    const timer = systemClock.after(command.warmupMs + command.measureMs + answerTimeoutMs, () =>
      end(() => reject(new Error('the generator does not answer'))),
    );
    const end = (tell: () => void) => {
      timer.cancel();
      process.off('message', onMessage).off('exit', onExit);
      tell();
    };
    const onExit = () => end(() => reject(new Error('the generator ended')));
    const onMessage = (message: unknown) => {
      const event = message as GeneratorEvent;
      if (event.kind === 'result') end(() => resolve(event));
      else onMark(event.kind);
    };
    process.on('message', onMessage).once('exit', onExit);
    process.send(command);
  });
}
