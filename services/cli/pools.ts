import type { Command } from 'commander';
import { type CliContext, type CommonOptions, openOperations } from './cli-context.ts';
import { usageError } from './cli-error.ts';
import { ceilingsText, type Pool, readPools } from './pool-shape.ts';
import { formatSpan, formatTable } from './table.ts';

interface PoolsOptions extends CommonOptions {
  once?: boolean;
  interval: string;
}

const clearScreen = '\u001b[H\u001b[2J';
const intervalMinSeconds = 0.5;

export function addPoolsCommand(program: Command, context: CliContext): void {
  program
    .command('pools')
    .description('watch the pools: what waits, how far ceilings are used, how credentials are')
    .option('--once', 'print the table once (also with --json, and where no terminal watches)')
    .option('--interval <seconds>', 'how often it is drawn anew', '1')
    .action((_options, command: Command) => showPools(context, command.optsWithGlobals<PoolsOptions>()));
}

async function showPools(context: CliContext, options: PoolsOptions): Promise<void> {
  const intervalSeconds = Number(options.interval);
  if (!(intervalSeconds >= intervalMinSeconds))
    throw usageError(`--interval ${options.interval}: give seconds, at least ${intervalMinSeconds}.`);
  const operations = await openOperations(context, options);
  const { print, clock } = context;
  if (options.json) return print(JSON.stringify({ pools: await readPools(operations) }));
  if (options.once || !context.printWatched) return print(poolTable(await readPools(operations)));
  for (;;) {
    const pools = await operations.patiently(() => readPools(operations));
    print(`${clearScreen}${poolTable(pools)}\n\nCtrl-C ends.`);
    await clock.sleep(intervalSeconds * 1_000);
  }
}

const headings = [
  'POOL',
  'WAITING',
  'LATER',
  'IN HAND',
  'CEILINGS USED',
  'HEAD WAITS FOR',
  '429s',
  'CREDENTIALS',
];

const stateText = ({ id, state, heldMs }: { id: string; state: string; heldMs: number }) =>
  `${id} ${state}${heldMs > 0 ? ` ${formatSpan(heldMs)}` : ''}`;

function poolTable(pools: readonly Pool[]): string {
  const rows = pools.map((pool) => [
    `${pool.provider}/${pool.pool}`,
    pool.waiting.toLocaleString('en-US'),
    pool.delayed.toLocaleString('en-US'),
    String(pool.inHand),
    ceilingsText(pool) || 'none set',
    pool.waitReason ?? '-',
    String(pool.credentials.reduce((sum, { refusals }) => sum + refusals, 0)),
    [...(pool.state === 'ready' ? [] : [{ ...pool, id: 'all' }]), ...pool.credentials]
      .map(stateText)
      .join(', '),
  ]);
  return formatTable(headings, rows);
}
