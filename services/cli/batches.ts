import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type Batch, batchPage, batchShape, isEnded } from './batch/batch-shape.ts';
import { collectOutput, countLines, outputFrom, whole } from './batch/collect-output.ts';
import { addBatchRunCommand } from './batch-run.ts';
import { cancelEach } from './cancel-each.ts';
import { type CliContext, type CommonOptions, openClient } from './cli-context.ts';
import { costOf, formatFields, formatSpan, formatTable } from './table.ts';

interface ListOptions extends CommonOptions {
  after?: string;
  limit: string;
}
interface OutputOptions extends CommonOptions {
  output?: string;
  errors?: boolean;
}

export function addBatchCommand(program: Command, context: CliContext): void {
  const batch = program.command('batch').description('run batches, look at them and cancel them');
  addBatchRunCommand(batch, context);
  batch
    .command('ls')
    .description('list batches, newest first')
    .option('--after <id>', 'go on after this batch')
    .option('--limit <count>', 'batches to show, at most 100', '20')
    .action((_options, command: Command) => listBatches(context, command.optsWithGlobals<ListOptions>()));
  batch
    .command('get')
    .description('show one batch')
    .argument('<id>')
    .action((id: string, _options, command: Command) =>
      getBatch(context, id, command.optsWithGlobals<CommonOptions>()),
    );
  batch
    .command('cancel')
    .description('cancel batches; what they have finished is kept')
    .argument('<ids...>')
    .action((ids: string[], _options, command: Command) =>
      cancelEach(context, '/v1/batches', ids, command.optsWithGlobals<CommonOptions>()),
    );
  batch
    .command('output')
    .description('print the results that a batch has by now, also while it runs')
    .argument('<id>')
    .option('-o, --output <file>', 'write them to a file; run it again to fetch what came since')
    .option('--errors', 'lines that failed, instead of results')
    .action((id: string, _options, command: Command) =>
      fetchOutput(context, id, command.optsWithGlobals<OutputOptions>()),
    );
}

const pathOf = (id: string) => `/v1/batches/${encodeURIComponent(id)}`;

async function listBatches(context: CliContext, options: ListOptions): Promise<void> {
  const query = new URLSearchParams({ limit: options.limit });
  if (options.after !== undefined) query.set('after', options.after);
  const client = await openClient(context, options);
  const page = await client.askJson(`/v1/batches?${query.toString()}`, batchPage);
  if (options.json) return context.print(JSON.stringify(page));
  if (page.data.length > 0) context.print(batchTable(page.data, context.clock.nowMs()));
  else context.say('No batches.');
  if (page.has_more && page.last_id) context.say(`More: sluice batch ls --after ${page.last_id}`);
}

function batchTable(batches: readonly Batch[], nowMs: number): string {
  const rows = batches.map((batch) => {
    const { total, completed, failed } = batch.request_counts;
    const done = `${completed + failed} of ${total}${failed > 0 ? `, ${failed} failed` : ''}`;
    return [
      batch.id,
      batch.status,
      batch.model ?? '-',
      done,
      formatSpan(nowMs - batch.created_at * 1_000),
      detailOf(batch, nowMs),
    ];
  });
  return formatTable(['BATCH', 'STATUS', 'MODEL', 'DONE', 'AGE', 'DETAIL'], rows);
}

/** Why it failed, when it should be done, or what it has used. */
function detailOf(batch: Batch, nowMs: number): string {
  const [error] = batch.errors?.data ?? [];
  if (error) return error.code;
  const left = (batch.estimated_completion ?? 0) * 1_000 - nowMs;
  if (!isEnded(batch)) return left > 0 ? `about ${formatSpan(left)} left` : '';
  const { usage } = batch;
  return usage ? `${usage.total_tokens} tokens${costOf(usage.cost_usd, ', ')}` : '';
}

async function getBatch(context: CliContext, id: string, options: CommonOptions): Promise<void> {
  const client = await openClient(context, options);
  const batch = await client.askJson(pathOf(id), batchShape);
  context.print(options.json ? JSON.stringify(batch) : formatFields(batch));
}

async function fetchOutput(context: CliContext, id: string, options: OutputOptions): Promise<void> {
  const client = await openClient(context, options);
  const stream = options.errors ? 'errors' : 'output';
  if (options.output === undefined) {
    const { body } = await outputFrom(client, id, stream, 0);
    return context.copy(whole(body));
  }
  const file = resolve(options.output);
  await client.patiently(() => collectOutput(client, id, stream, file));
  const { status } = await client.askJson(pathOf(id), batchShape);
  const lines = await countLines(file);
  if (options.json) context.print(JSON.stringify({ batch: id, status, lines, output: file }));
  else context.print(`${file} has ${lines} lines; the batch is ${status}.`);
}
