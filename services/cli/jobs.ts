import type { Command } from 'commander';
import { z } from 'zod';
import { jobStates } from '#shared/contracts/job.ts';
import { cancelEach } from './cancel-each.ts';
import { type CliContext, type CommonOptions, openClient } from './cli-context.ts';
import { CliError, exitCodes, usageError } from './cli-error.ts';
import { detailOf, type Job, jobShape } from './job-shape.ts';
import { formatFields, formatSpan, formatTable } from './table.ts';
import { tailJob } from './tail-job.ts';

const jobPage = z.object({ data: z.array(jobShape), has_more: z.boolean(), last_id: z.string().nullable() });

interface ListOptions extends CommonOptions {
  status?: string;
  metadata: string[];
  after?: string;
  limit: string;
}
interface GetOptions extends CommonOptions {
  result?: boolean;
  wait?: string;
}

const statuses = [...jobStates, 'scheduled'];
/** Longest long-poll asked for at once; Sluice has a bound of its own. */
const waitMaxSeconds = 590;

export function addJobsCommand(program: Command, context: CliContext): void {
  const jobs = program.command('jobs').description('look at jobs, follow and cancel them');
  const collect = (value: string, before: string[]) => [...before, value];
  jobs
    .command('ls')
    .description('list jobs, newest first')
    .option('--status <status>', `only jobs that are ${statuses.join(', ')}`)
    .option('--metadata <key=value>', 'only jobs with that metadata; may be repeated', collect, [])
    .option('--after <id>', 'go on after this job')
    .option('--limit <count>', 'jobs to show, at most 100', '20')
    .action((_options, command: Command) => listJobs(context, command.optsWithGlobals<ListOptions>()));
  jobs
    .command('get')
    .description('show one job')
    .argument('<id>')
    .option('--result', 'print its result as the provider gave it, and nothing else')
    .option('--wait <seconds>', 'wait up to this long for its end')
    .action((id: string, _options, command: Command) =>
      getJob(context, id, command.optsWithGlobals<GetOptions>()),
    );
  jobs
    .command('cancel')
    .description('cancel jobs')
    .argument('<ids...>')
    .action((ids: string[], _options, command: Command) =>
      cancelEach(context, '/v1/jobs', ids, command.optsWithGlobals<CommonOptions>()),
    );
  jobs
    .command('tail')
    .description('follow a job until it ends')
    .argument('<id>')
    .action((id: string, _options, command: Command) =>
      tailJob(context, id, command.optsWithGlobals<CommonOptions>()),
    );
}

async function listJobs(context: CliContext, options: ListOptions): Promise<void> {
  if (options.status !== undefined && !statuses.includes(options.status))
    throw usageError(`There is no status ${options.status}.`, `Choose one of ${statuses.join(', ')}.`);
  const query = new URLSearchParams({ limit: options.limit });
  if (options.status !== undefined) query.set('status', options.status);
  if (options.after !== undefined) query.set('after', options.after);
  for (const pair of options.metadata) {
    const at = pair.indexOf('=');
    if (at < 1) throw usageError(`--metadata ${pair}: write it as key=value.`);
    query.set(`metadata.${pair.slice(0, at)}`, pair.slice(at + 1));
  }
  const client = await openClient(context, options);
  const page = await client.askJson(`/v1/jobs?${query.toString()}`, jobPage);
  if (options.json) return context.print(JSON.stringify(page));
  if (page.data.length > 0) context.print(jobTable(page.data, context.clock.nowMs()));
  else context.say('No jobs.');
  if (page.has_more && page.last_id) context.say(`More: sluice jobs ls --after ${page.last_id}`);
}

function jobTable(jobs: readonly Job[], nowMs: number): string {
  const rows = jobs.map((job) => [
    job.id,
    job.status,
    `${job.provider}/${job.model}`,
    formatSpan(nowMs - job.created_at * 1_000),
    detailOf(job, nowMs),
  ]);
  return formatTable(['JOB', 'STATUS', 'MODEL', 'AGE', 'DETAIL'], rows);
}

async function getJob(context: CliContext, id: string, options: GetOptions): Promise<void> {
  const waitSeconds = options.wait === undefined ? 0 : Number(options.wait);
  if (!(waitSeconds >= 0 && waitSeconds <= waitMaxSeconds))
    throw usageError(`--wait ${options.wait}: give seconds, at most ${waitMaxSeconds}.`);
  const client = await openClient(context, options);
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  const headers: Record<string, string> = waitSeconds > 0 ? { prefer: `wait=${waitSeconds}` } : {};
  const asked = { headers, answerMs: (waitSeconds + 30) * 1_000 };
  if (options.result)
    return printResult(context, await client.ask(`${path}/result`, { ...asked, isWanted }), id);
  const job = await client.askJson(path, jobShape, asked);
  context.print(options.json ? JSON.stringify(job) : formatFields(job));
}

/** Any outcome of the job, whatever its status. */
const isWanted = ({ headers }: Response) => headers.has('x-sluice-attempts');

async function printResult(context: CliContext, response: Response, id: string): Promise<void> {
  if (response.status === 202)
    throw new CliError(exitCodes.failed, `The job ${id} has no result yet.`, { hint: 'Wait with --wait.' });
  // What the provider, or Sluice in its place, answered to the call; also when that was an error.
  if (!response.ok) context.end(exitCodes.failed);
  context.print((await response.text()).trimEnd());
}
