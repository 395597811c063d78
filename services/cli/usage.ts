import { type Command, Option } from 'commander';
import { z } from 'zod';
import { openAdmin } from './admin-client.ts';
import type { CliContext, CommonOptions } from './cli-context.ts';
import { costOf, formatTable } from './table.ts';

interface UsageOptions extends CommonOptions {
  by: string;
  from?: string;
  to?: string;
  customer?: string;
  csv?: boolean;
}

const figures = z.looseObject({
  calls: z.number(),
  failures: z.number(),
  input_tokens: z.number(),
  cached_input_tokens: z.number(),
  output_tokens: z.number(),
  cost_usd: z.number(),
  wasted_usd: z.number(),
});
const usageShape = z.looseObject({
  from: z.string(),
  to: z.string(),
  group_by: z.array(z.string()),
  data: z.array(figures),
  total: figures,
});
type Figures = z.infer<typeof figures>;

/** The API calls customers tenants. */
const theirName = (group: string) => (group === 'customer' ? 'tenant' : group);
const ourName = (group: string) => (group === 'tenant' ? 'customer' : group);

export function addUsageCommand(program: Command, context: CliContext): void {
  program
    .command('usage')
    .description('what was used of a running Sluice, and what it cost')
    .option(
      '--by <groups>',
      'customer team key user feature route provider model day month, with commas between',
      'customer',
    )
    .option('--from <day>', 'first UTC day, YYYY-MM-DD (default: the first of the month)')
    .option('--to <day>', 'last UTC day (default: today)')
    .option('--customer <name>', 'only of this one')
    .addOption(new Option('--csv', 'print CSV').conflicts('json'))
    .action((_options, command: Command) => showUsage(context, command.optsWithGlobals<UsageOptions>()));
}

async function showUsage(context: CliContext, options: UsageOptions): Promise<void> {
  const { by, from, to, customer, csv, json } = options;
  const admin = await openAdmin(context, options);
  const groups = by.split(',').map((group) => theirName(group.trim()));
  const query = new URLSearchParams({
    group_by: groups.join(','),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(customer === undefined ? {} : { tenant: customer }),
  });
  if (csv) {
    query.set('format', 'csv');
    return context.write(await (await admin.usage(query)).text());
  }
  const usage = usageShape.parse(await (await admin.usage(query)).json());
  if (json) return context.print(JSON.stringify(usage));
  const rows = usage.data.map((row) => [
    ...usage.group_by.map((group) => nameOf(row[group])),
    ...cellsOf(row),
  ]);
  const total = usage.group_by.map((_group, index) => (index === 0 ? 'total' : ''));
  const headings = usage.group_by.map((group) => ourName(group).toUpperCase());
  const counted = ['CALLS', 'FAILED', 'INPUT', 'CACHED', 'OUTPUT', 'WASTED', 'COST'];
  context.print(formatTable([...headings, ...counted], [...rows, [...total, ...cellsOf(usage.total)]]));
  context.say(`${usage.from} to ${usage.to}, UTC`);
}

/** Calls that have no such axis are told apart from those that do. */
const nameOf = (value: unknown) => (typeof value === 'string' ? value : '-');

function cellsOf(row: Figures): string[] {
  const { calls, failures, input_tokens, cached_input_tokens, output_tokens, wasted_usd, cost_usd } = row;
  const counts = [calls, failures, input_tokens, cached_input_tokens, output_tokens].map(String);
  return [...counts, costOf(wasted_usd) || '-', costOf(cost_usd) || '-'];
}
