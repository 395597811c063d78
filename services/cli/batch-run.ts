import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { BatchProgress } from './batch/batch-progress.ts';
import { type Batch, batchShape, isEnded } from './batch/batch-shape.ts';
import { CeilingWatch } from './batch/ceiling-watch.ts';
import { collectOutput, countLines, sizeOf } from './batch/collect-output.ts';
import { endpointOf, hashOf, readInput } from './batch/read-input.ts';
import { type Run, RunState } from './batch/run-state.ts';
import { createBatch, findBatch, uploadInput } from './batch/submit-batch.ts';
import { type CliContext, type CommonOptions, openClient } from './cli-context.ts';
import { CliError, exitCodes, usageError } from './cli-error.ts';
import type { SluiceClient } from './sluice-client.ts';
import { costOf } from './table.ts';

interface RunOptions extends CommonOptions {
  output: string;
  errors?: string;
  endpoint?: string;
  window: string;
  force?: boolean;
  cancelOnExit?: boolean;
}

/** What one run of the command works with. */
interface RunParts {
  context: CliContext;
  client: SluiceClient;
  state: RunState;
  options: RunOptions;
  outputFile: string;
  errorsFile: string;
  /** Aborted by the first Ctrl-C. */
  stop: AbortSignal;
}

/** How often Sluice is asked how far it is. */
const pollMs = 1_000;

export function addBatchRunCommand(batch: Command, context: CliContext): void {
  batch
    .command('run')
    .description('run all calls of a file; run it again to go on after a Ctrl-C or a crash')
    .argument('<input>', 'lines of JSON as OpenAI’s batches take them; - reads the standard input')
    .requiredOption('-o, --output <file>', 'where results go, as they come')
    .option('--errors <file>', 'where lines that failed go (default: <output>.errors.jsonl)')
    .option('--window <span>', 'what has not run by then expires: 15m to 7d', '24h')
    .option('--endpoint <path>', 'route of all calls (default: that of the first line)')
    .option('--force', 'begin anew, over an output that is there')
    .option('--cancel-on-exit', 'Ctrl-C cancels the batch, and waits for what it has finished')
    .action((input: string, _options, command: Command) =>
      runBatch(context, input, command.optsWithGlobals<RunOptions>()),
    );
}

async function runBatch(context: CliContext, input: string, options: RunOptions): Promise<void> {
  const outputFile = resolve(options.output);
  const errorsFile = resolve(options.errors ?? `${outputFile.replace(/\.jsonl$/, '')}.errors.jsonl`);
  const stop = listenForInterrupts(context, options.cancelOnExit === true);
  const client = await openClient(context, options);
  const state = new RunState(outputFile);
  const parts = { context, client, state, options, outputFile, errorsFile, stop };
  try {
    const batchId = await submit(parts, input);
    await follow(parts, batchId);
  } catch (error) {
    const cut = error instanceof CliError && error.exitCode === exitCodes.unreachable;
    if (!stop.aborted || !cut) throw error;
    context.end(exitCodes.interrupted);
  }
}

/** The first Ctrl-C ends the command in order, the second at once. Either way the state file lets it go on later. */
function listenForInterrupts({ say }: CliContext, cancels: boolean): AbortSignal {
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(exitCodes.interrupted);
    stop.abort();
    say(cancels ? '\nCancelling; Ctrl-C again leaves at once.' : '\nLeaving; Ctrl-C again leaves at once.');
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return stop.signal;
}

/** Sees to it that the batch of this run exists exactly once. Returns its id. */
async function submit(parts: RunParts, inputPath: string): Promise<string> {
  const { context, client, state, options, stop } = parts;
  // Also read to begin anew: it must not be a run that somebody is at.
  const found = await state.read();
  const left = options.force ? undefined : found;
  if (left) await refuseOtherRun(parts, left, inputPath);
  else await refuseOldOutput(parts);
  if (left?.batchId) {
    context.say(`Going on with ${left.batchId}.`);
    return left.batchId;
  }
  const run = left?.fileId ? left : await upload(parts, inputPath, found === undefined);
  // It may have been made already, when nobody was left to read, or note, the answer.
  let mayExist = run.asked;
  await state.write({ ...run, asked: true });
  const { id } = await client.patiently(async () => {
    const made = mayExist ? await findBatch(client, run.runId) : undefined;
    mayExist = true;
    return made ?? createBatch(client, { ...run, fileId: run.fileId! });
  }, stop);
  await state.write({ ...run, asked: true, batchId: id });
  context.say(`Batch ${id}.`);
  return id;
}

async function upload(parts: RunParts, inputPath: string, isFirst: boolean): Promise<Run> {
  const { context, client, state, options, outputFile, stop } = parts;
  const input = await readInput(inputPath, outputFile);
  const run: Run = {
    version: 1,
    runId: randomUUID(),
    url: client.url,
    inputSha256: input.sha256,
    endpoint: options.endpoint ?? (await endpointOf(input.path)),
    window: options.window,
    asked: false,
  };
  await (isFirst ? state.create(run) : state.write(run));
  // Nobody waits for a Sluice that was never there, or for the end of an upload to learn that the key is wrong.
  await client.ask('/v1/files?limit=1');
  context.say(`Uploading ${inputPath === '-' ? 'the input' : inputPath} …`);
  const fileId = await client.patiently(() => uploadInput(client, input.path, stop), stop);
  const uploaded = { ...run, fileId };
  await state.write(uploaded);
  await input.discard();
  return uploaded;
}

/** A run goes on only where it was, and with the input it began with. */
async function refuseOtherRun({ client, state }: RunParts, left: Run, inputPath: string): Promise<void> {
  if (left.url !== client.url)
    throw usageError(`This run is at ${left.url}, not at ${client.url}.`, `Name it with --url ${left.url}.`);
  // What came from the standard input is at Sluice by now.
  if (inputPath === '-' || !left.fileId || (await hashOf(inputPath)) === left.inputSha256) return;
  throw usageError(
    `${inputPath} has changed since this run began.`,
    `To go on, restore it; to begin anew, use --force. The run is kept in ${state.file}.`,
  );
}

async function refuseOldOutput({ options, outputFile, errorsFile }: RunParts): Promise<void> {
  for (const file of [outputFile, errorsFile]) {
    if (options.force) await rm(file, { force: true });
    else if ((await sizeOf(file)) > 0)
      throw usageError(`${file} is there already.`, 'Name another file, or overwrite it with --force.');
  }
}

/** Fetches what comes until the batch has ended, and everything is here. */
async function follow(parts: RunParts, batchId: string): Promise<void> {
  const { context, client, state, options, stop } = parts;
  const { clock } = context;
  const progress = new BatchProgress(context);
  const ceilings = new CeilingWatch(context, options, client);
  const startedMs = clock.monotonicMs();
  let cancelled = false;
  for (;;) {
    if (stop.aborted && options.cancelOnExit && !cancelled) {
      cancelled = true;
      await cancelBatch(client, batchId);
    }
    // Read before the output, so that the output of an ended batch is all there is.
    const batch = await client.patiently(() => client.askJson(`/v1/batches/${batchId}`, batchShape), stop);
    await collectBoth(parts, batch);
    progress.show(batch, await ceilings.used(batch));
    if (isEnded(batch)) {
      progress.clear();
      if (batch.status !== 'failed') await conclude(parts, batch, clock.monotonicMs() - startedMs);
      await state.remove();
      if (batch.status === 'failed') throw invalidBatch(batch);
      return;
    }
    if (stop.aborted && !options.cancelOnExit) {
      progress.clear();
      context.say(`${batchId} goes on at Sluice. Run the same command again to go on here.`);
      return context.end(exitCodes.interrupted);
    }
    await clock.sleep(pollMs, cancelled ? undefined : stop);
  }
}

async function collectBoth({ client, outputFile, errorsFile, stop }: RunParts, { id }: Batch): Promise<void> {
  await client.patiently(() => collectOutput(client, id, 'output', outputFile), stop);
  await client.patiently(() => collectOutput(client, id, 'errors', errorsFile), stop);
}

async function cancelBatch(client: SluiceClient, batchId: string): Promise<void> {
  const path = `/v1/batches/${batchId}/cancel`;
  await client.askJson(path, batchShape, { method: 'POST' }).catch((error: unknown) => {
    // It may have ended just now; then its results are fetched as ever.
    if (!(error instanceof CliError) || error.code !== 'batch_already_ended') throw error;
  });
}

/** Proves that every line is here, and says how it went. */
async function conclude(parts: RunParts, batch: Batch, tookMs: number): Promise<void> {
  const { context, outputFile, errorsFile, options, stop } = parts;
  const { completed, failed, total } = batch.request_counts;
  if (completed === 0) await writeFile(outputFile, '', { flag: 'a' });
  const [outputs, errors] = [await countLines(outputFile), await countLines(errorsFile)];
  if (outputs !== completed || errors !== failed)
    throw new CliError(
      exitCodes.failed,
      `${outputFile} has ${outputs} lines of ${completed}, ${errorsFile} ${errors} of ${failed}.`,
    );
  const { id, status, usage } = batch;
  const files = { output: outputFile, errors: failed > 0 ? errorsFile : null };
  const summary = { batch: id, status, total, completed, failed, seconds: tookMs / 1_000, usage, ...files };
  if (options.json) context.print(JSON.stringify(summary));
  else {
    const tokens = usage
      ? `, ${usage.input_tokens} + ${usage.output_tokens} tokens${costOf(usage.cost_usd, ', ')}`
      : '';
    context.print(`${status}: ${completed} of ${total} succeeded, ${failed} failed${tokens}`);
    context.print(failed > 0 ? `Results: ${outputFile}\nFailed:  ${errorsFile}` : `Results: ${outputFile}`);
  }
  const good = status === 'completed' && failed === 0;
  context.end(stop.aborted ? exitCodes.interrupted : good ? exitCodes.done : exitCodes.failed);
}

function invalidBatch({ errors }: Batch): CliError {
  const lines = (errors?.data ?? []).map(
    ({ line, message }) => `${line === null ? '' : `line ${line}: `}${message}`,
  );
  return new CliError(exitCodes.failed, `The batch is not valid:\n  ${lines.join('\n  ')}`, {
    code: errors?.data[0]?.code ?? 'invalid_batch',
  });
}
